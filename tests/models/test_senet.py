"""ResNeXt-50, SE-ResNet-50 and SENet-154: their tables, torchvision's and timm's names, functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from models.published import count, digest, drawn, filled, normed, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.errors import ShapeError

# Blocks a stage; channels of the first two convolutions of conv2_x, and groups; whether channels are squeezed;
# parameters; the digest of torchvision's or timm's state; multiply-adds.
PUBLISHED = {
    "resnext50_32x4d": ((3, 4, 6, 3), (128, 128), 32, False, 25_028_904, "008dbd6bedfcd493", 4.2e9),
    "seresnet50": ((3, 4, 6, 3), (64, 64), 1, True, 28_088_024, "debc30feb1daa15b", 4.1e9),
    "senet154": ((3, 8, 36, 3), (128, 256), 64, True, 115_088_984, "123994c1376953c3", 20.7e9),
}
every = pytest.mark.parametrize("name", PUBLISHED)


def blocks(name):
    """Path, input channels, those of the three convolutions, and stride of every block."""
    counts, (first, second), *_ = PUBLISHED[name]
    before = 128 if name == "senet154" else 64
    for stage, blocks in enumerate(counts):
        for block in range(blocks):
            at, made = f"layer{stage + 1}.{block}", 256 * 2**stage
            yield at, before, first * 2**stage, second * 2**stage, made, 2 if stage and not block else 1
            before = made


def expected_state(name):
    _, _, groups, squeezes, *_ = PUBLISHED[name]
    state = {}

    def unit(conv, norm, outputs, inputs, kernel):
        state[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
        state.update({f"{norm}.{each}": (outputs,) for each in ("weight", "bias", "running_mean", "running_var")})
        state[f"{norm}.num_batches_tracked"] = ()

    if name == "senet154":
        unit("conv1.0", "conv1.1", 64, 3, 3)
        unit("conv1.3", "conv1.4", 64, 64, 3)
        unit("conv1.6", "bn1", 128, 64, 3)
    else:
        unit("conv1", "bn1", 64, 3, 7)
    for at, before, first, second, made, stride in blocks(name):
        unit(f"{at}.conv1", f"{at}.bn1", first, before, 1)
        unit(f"{at}.conv2", f"{at}.bn2", second, first // groups, 3)
        unit(f"{at}.conv3", f"{at}.bn3", made, second, 1)
        if squeezes:
            state |= {f"{at}.se.fc1.weight": (made // 16, made, 1, 1), f"{at}.se.fc1.bias": (made // 16,)}
            state |= {f"{at}.se.fc2.weight": (made, made // 16, 1, 1), f"{at}.se.fc2.bias": (made,)}
        if before != made:
            wide = 3 if name == "senet154" and stride == 2 else 1
            unit(f"{at}.downsample.0", f"{at}.downsample.1", made, before, wide)
    return {**state, "fc.weight": (1000, 2048), "fc.bias": (1000,)}


@every
def test_names_and_shapes_are_the_published(name):
    model, (*_, parameters, theirs, _) = sketch(name), PUBLISHED[name]
    assert list(shapes(model).items()) == list(expected_state(name).items())
    assert digest(shapes(model)) == theirs
    assert count(model) == parameters


@pytest.mark.slow
@every
def test_every_size_is_the_tables(name):
    table = drawn(name)
    made, size = outputs(table), 56
    assert made["maxpool"] == (128 if name == "senet154" else 64, 56, 56)
    for at, _, first, second, outs, stride in blocks(name):
        assert made[f"{at}.conv1"] == (first, size, size)
        size //= stride
        assert made[f"{at}.conv2"] == (second, size, size)
        assert made[f"{at}.conv3"] == made[f"{at}.add"] == (outs, size, size)
        assert (f"{at}.se.fc1" in made) == PUBLISHED[name][3]
    assert made["avgpool"] == (2048,)
    *_, parameters, _, multiply_adds = PUBLISHED[name]
    assert table.parameters == parameters
    assert table.multiply_adds == pytest.approx(multiply_adds, rel=0.02)
    rows = {row.layer: row for row in table.rows}
    groups = PUBLISHED[name][2]
    assert rows["layer3.1.conv2"].type == (f"conv, {groups} groups" if groups > 1 else "conv")
    if PUBLISHED[name][3]:
        assert (rows["layer2.0.se.fc1"].activation, rows["layer2.0.se.fc2"].activation) == ("ReLU", "sigmoid")
        assert rows["layer2.0.se.pool"].type == "global avg pool"


def composed(x, w, name, large):
    """The network in functional PyTorch, of nothing but its weights."""
    groups = PUBLISHED[name][2]

    def unit(x, conv, norm, stride=1, groups=1):
        kernel = w[f"{conv}.weight"]
        return normed(F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2, 1, groups), w, norm, 1e-5)

    stride = 2 if large else 1
    if name == "senet154":
        x = unit(x, "conv1.0", "conv1.1", stride).relu()
        x = unit(unit(x, "conv1.3", "conv1.4").relu(), "conv1.6", "bn1").relu()
    else:
        x = unit(x, "conv1", "bn1", stride).relu()
    x = F.max_pool2d(x, 3, 2, 1) if large else x
    for at, *_, stride in blocks(name):
        y = unit(x, f"{at}.conv1", f"{at}.bn1").relu()
        y = unit(y, f"{at}.conv2", f"{at}.bn2", stride, groups).relu()
        y = unit(y, f"{at}.conv3", f"{at}.bn3")
        if f"{at}.se.fc1.weight" in w:
            one, two = ((w[f"{at}.se.{fc}.weight"][:, :, 0, 0], w[f"{at}.se.{fc}.bias"]) for fc in ("fc1", "fc2"))
            gate = F.linear(F.linear(y.mean((2, 3)), *one).relu(), *two).sigmoid()
            y = y * gate[:, :, None, None]
        down = f"{at}.downsample"
        x = (y + (unit(x, f"{down}.0", f"{down}.1", stride) if f"{down}.0.weight" in w else x)).relu()
    return F.linear(x.mean((2, 3)), w["fc.weight"], w["fc.bias"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stem", "size", "channels"),
    [
        ("resnext50_32x4d", "imagenet", (64, 49), 3),
        ("resnext50_32x4d", "small", (13, 10), 1),
        ("seresnet50", "imagenet", (49, 64), 3),
        ("seresnet50", "small", (10, 13), 1),
        ("senet154", "imagenet", (33, 20), 3),
    ],
)
@torch.no_grad()
def test_the_network_is_the_weights_in_functional_pytorch(name, stem, size, channels):
    model = sketch(f"{name}:stem={stem}", size, 12, channels).to_empty(device="cpu").eval()
    filled(model)
    for key, value in model.state_dict().items():  # or values double from block to block
        if key.endswith("bn3.weight"):
            value.mul_(0.3)
    x = pictures(2, channels, *size).double()
    expected = composed(x, model.double().state_dict(), name, stem == "imagenet")
    assert expected.std() > 0.1
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@every
def test_what_else_is_published(name):
    model = sketch(name)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.2] * (name == "senet154")
    assert models.facts(name).normalization == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    options = {"stem"} if name == "senet154" else {"stem", "zero_gamma"}
    assert set(models.facts(name).options) == options
    first = [next(m for m in sketch(name, size).modules() if isinstance(m, nn.Conv2d)) for size in (63, 64)]
    assert [conv.stride for conv in first] == [(1, 1), (2, 2)]


@pytest.mark.slow
@every
@pytest.mark.parametrize(("stem", "least"), [("imagenet", 17), ("small", 5)])
def test_the_smallest_image(name, stem, least):
    text = f"{name}:stem={stem}"
    assert outputs(drawn(text, (least, 40)))["layer4.0.conv3"][1] == 1
    with pytest.raises(ShapeError, match=rf"{name} with stem={stem} needs images of at least {least}×{least} pixels"):
        sketch(text, (least - 1, 70))


@pytest.mark.slow
def test_small_images_train_and_blocks_begin_as_their_shortcuts():
    model = models.create("seresnet50:zero_gamma=true", 7, 3, 20, seed=0)
    x = pictures(2, 256, 6, 6)
    assert torch.equal(model.layer1[1](x), x.relu())
    model = models.create("seresnet50", 7, 3, 20, seed=0)
    model(pictures(2, 3, 20, 20)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.slow
def test_grouped_convolutions_start_by_the_fan_out_of_their_group():
    kernel = models.create("resnext50_32x4d", seed=0).layer4[1].conv2.weight
    assert kernel.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.02)
