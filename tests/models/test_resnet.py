"""The residual networks: the paper's tables, torchvision's names, and the same function composed by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import striate
from striate import models
from striate.errors import ShapeError
from striate.models.weights.load import _Undrawn

# Blocks a stage; Table 1. Parameters with 1000 classes; multiply-adds as the paper prints them.
TABLE_1 = {
    "resnet18": ((2, 2, 2, 2), 11_689_512, 1.8e9),
    "resnet34": ((3, 4, 6, 3), 21_797_672, 3.6e9),
    "resnet50": ((3, 4, 6, 3), 25_557_032, 3.8e9),
    "resnet101": ((3, 4, 23, 3), 44_549_160, 7.6e9),
    "resnet152": ((3, 8, 36, 3), 60_192_808, 11.3e9),
}
BOTTLENECKS = {"resnet50", "resnet101", "resnet152"}
# Blocks in each of three stages; section 4.2. Parameters with 10 classes.
CIFAR = {
    "resnet20": (3, 269_722),
    "resnet32": (5, 464_154),
    "resnet44": (7, 658_586),
    "resnet56": (9, 853_018),
    "resnet110": (18, 1_727_962),
}
imagenet_nets = pytest.mark.parametrize("name", TABLE_1)
cifar_nets = pytest.mark.parametrize("name", CIFAR)


def shape_only(name, *arguments, **options):
    """A model without numbers, made at once however large it is."""
    with torch.device("meta"), _Undrawn():
        return models.create(name, *arguments, **options)


def stirred(name, *arguments, **options):
    """A model in evaluation mode whose normalisations are not the identity."""
    model, draw = models.create(name, *arguments, seed=0, **options).eval(), torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
            module.weight.data.uniform_(0.5, 1, generator=draw)
            module.bias.data.normal_(0, 0.1, generator=draw)
    return model


def pictures(count, channels, height, width=None):
    return torch.randn(count, channels, height, width or height, generator=torch.Generator().manual_seed(0))


# ---------------------------------------------------------------- the paper's tables


def published_convolutions(name, stem="imagenet", size=224, v1=False):
    """(maps, side, kernel) of every convolution on the way, shortcuts apart."""
    kernel, side = (7, size // 2) if stem == "imagenet" else (3, size)
    found = [(64, side, kernel)]
    side = side // 2 if stem == "imagenet" else side
    for stage, (width, count) in enumerate(zip((64, 128, 256, 512), TABLE_1[name][0], strict=True)):
        for block in range(count):
            before, side = side, side // 2 if stage and not block else side
            if name in BOTTLENECKS:
                found += [(width, side if v1 else before, 1), (width, side, 3), (4 * width, side, 1)]
            else:
                found += [(width, side, 3)] * 2
    return found


def convolutions(table):
    return [
        (row.channels, row.size[0], row.kernel[0])
        for row in table.rows
        if row.type == "conv" and "down" not in row.layer
    ]


@pytest.mark.slow
@imagenet_nets
def test_every_size_and_the_totals_are_table_1s(name):
    _, parameters, multiply_adds = TABLE_1[name]
    table = striate.describe(shape_only(name, 1000, 3, 224, downsample="v1"))
    assert convolutions(table) == published_convolutions(name, v1=True)
    assert 1 + len(convolutions(table)) == int(name.removeprefix("resnet"))
    rows = {row.layer: (row.type, row.channels, row.size) for row in table.rows}
    assert rows["maxpool"] == ("max pool", 64, (56, 56))
    wide = 4 if name in BOTTLENECKS else 1
    assert rows["avgpool"] == ("global avg pool", 512 * wide, None)
    assert rows["fc"] == ("dense", 1000, None)
    for stage, (width, side) in enumerate([(64, 56), (128, 28), (256, 14), (512, 7)], start=1):
        blocks = TABLE_1[name][0][stage - 1]
        sums = [row for row in table.rows if row.type == "add" and row.layer.startswith(f"layer{stage}.")]
        assert [(row.channels, row.size, row.activation) for row in sums] == [
            (width * wide, (side, side), "ReLU")
        ] * blocks
    assert table.parameters == parameters
    assert table.multiply_adds == pytest.approx(multiply_adds, abs=0.07e9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_stride_moves_and_nothing_else(name):
    table = striate.describe(shape_only(name, 1000, 3, 224))
    assert convolutions(table) == published_convolutions(name)
    assert table.parameters == TABLE_1[name][1]
    small = striate.describe(shape_only(name, 1000, 3, 32))
    assert convolutions(small) == published_convolutions(name, "small", 32)
    assert small.parameters == TABLE_1[name][1] - 64 * 3 * (49 - 9)


@pytest.mark.slow
@cifar_nets
def test_every_size_and_the_count_are_those_of_section_4_2(name):
    n, parameters = CIFAR[name]
    table = striate.describe(shape_only(name, 10, 3, 32))
    expected = [(16, 32, 3)] * (1 + 2 * n) + [(32, 16, 3)] * 2 * n + [(64, 8, 3)] * 2 * n
    assert convolutions(table) == expected
    assert 1 + len(expected) == int(name.removeprefix("resnet"))
    assert table.parameters == parameters
    shortcuts = [(row.channels, row.size, row.parameters) for row in table.rows if row.type == "padded shortcut"]
    assert shortcuts == [(32, (16, 16), 0), (64, (8, 8), 0)]


# ---------------------------------------------------------------- torchvision's names


def norm(path, maps):
    return {
        **{f"{path}.{key}": (maps,) for key in ("weight", "bias", "running_mean", "running_var")},
        f"{path}.num_batches_tracked": (),
    }


def published_keys(blocks, bottleneck, option_b=True, width=64, stem=7, channels=3, classes=1000):
    """Every name and shape in a state dict, in order, as torchvision writes them."""
    keys = {"conv1.weight": (width, channels, stem, stem), **norm("bn1", width)}
    before, wide = width, 4 if bottleneck else 1
    for stage, count in enumerate(blocks):
        maps = width * 2**stage
        for block in range(count):
            at = f"layer{stage + 1}.{block}"
            kernels = [(maps, before, 1), (maps, maps, 3), (4 * maps, maps, 1)]
            for i, (out, into, k) in enumerate(kernels if bottleneck else [(maps, before, 3), (maps, maps, 3)], 1):
                keys |= {f"{at}.conv{i}.weight": (out, into, k, k), **norm(f"{at}.bn{i}", out)}
            if before != maps * wide and option_b:
                keys |= {f"{at}.downsample.0.weight": (maps * wide, before, 1, 1)}
                keys |= norm(f"{at}.downsample.1", maps * wide)
            before = maps * wide
    return {**keys, "fc.weight": (classes, before), "fc.bias": (classes,)}


@imagenet_nets
def test_names_and_shapes_are_torchvisions(name):
    expected = published_keys(TABLE_1[name][0], name in BOTTLENECKS)
    model = shape_only(name, 1000, 3, 224)
    assert [(key, tuple(value.shape)) for key, value in model.state_dict().items()] == list(expected.items())
    count = {18: 122, 34: 218, 50: 320, 101: 626, 152: 932}[int(name.removeprefix("resnet"))]
    assert len(expected) == count


@cifar_nets
def test_names_of_the_small_networks_are_stable(name):
    expected = published_keys((CIFAR[name][0],) * 3, False, option_b=False, width=16, stem=3, channels=1, classes=10)
    state = shape_only(name, image_size=32).state_dict()
    assert [(key, tuple(value.shape)) for key, value in state.items()] == list(expected.items())


# ---------------------------------------------------------------- the same function, composed by hand


def composed(x, w, v1=False, pad_shortcuts=False):
    """A residual network in functional PyTorch, of nothing but its weights."""

    def conv_norm(x, at, number="", stride=1):
        conv, bn = (f"{at}.0", f"{at}.1") if at.endswith("downsample") else (f"{at}conv{number}", f"{at}bn{number}")
        kernel = w[f"{conv}.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, var, scale, shift = (w[f"{bn}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * scale[:, None, None] + shift[
            :, None, None
        ]

    imagenet = w["conv1.weight"].shape[-1] == 7
    x = conv_norm(x, "", 1, stride=2 if imagenet else 1).relu()
    x = F.max_pool2d(x, 3, 2, 1) if imagenet else x
    for at in sorted(
        {key.rpartition(".conv")[0] for key in w if key.startswith("layer") and ".conv" in key}, key=order
    ):
        stage, block = order(at)
        stride = 2 if stage > 1 and block == 0 else 1
        convolutions = 3 if f"{at}.conv3.weight" in w else 2
        strided = 2 if convolutions == 3 and not v1 else 1
        y = x
        for i in range(1, convolutions + 1):
            y = conv_norm(y, f"{at}.", i, stride if i == strided else 1)
            y = y.relu() if i < convolutions else y
        if f"{at}.downsample.0.weight" in w:
            x = conv_norm(x, f"{at}.downsample", stride=stride)
        elif pad_shortcuts and stride == 2:
            x = torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], dim=1)
        x = (x + y).relu()
    return F.linear(x.flatten(2).mean(2), w["fc.weight"], w["fc.bias"])


def order(at):
    return tuple(int(part) for part in at.removeprefix("layer").split("."))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels", "size", "options"),
    [
        ("resnet18", 3, (64, 75), {}),
        ("resnet18", 1, (28, 28), {}),
        ("resnet34", 3, (33, 40), {"stem": "imagenet"}),
        ("resnet50", 3, (64, 64), {}),
        ("resnet50", 3, (64, 49), {"downsample": "v1", "stem": "imagenet"}),
        ("resnet50", 1, (21, 32), {"downsample": "v1"}),
        ("resnet20", 3, (32, 32), {}),
        ("resnet32", 1, (27, 30), {}),
    ],
)
@torch.no_grad()
def test_the_network_is_the_composition_of_its_parts(name, channels, size, options):
    model = stirred(name, 12, channels, size, **options)
    x = pictures(2, channels, *size)
    expected = composed(
        x.double(),
        {key: value.double() for key, value in model.state_dict().items()},
        options.get("downsample") == "v1",
        pad_shortcuts=name in CIFAR,
    )
    assert expected.std() > 0.01
    torch.testing.assert_close(model(x).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_v1_and_v1_5_differ_where_there_are_bottlenecks():
    for name, same in (("resnet18", True), ("resnet50", False)):
        one, other = (stirred(name, 3, 1, 28, stem="imagenet", downsample=form) for form in ("v1", "v1.5"))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(pictures(1, 1, 28)), other(pictures(1, 1, 28))) == same


# ---------------------------------------------------------------- options, starts and refusals


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_with_zero_gamma_blocks_begin_as_their_shortcuts(name):
    model = models.create(name, zero_gamma=True, seed=0)  # in training mode, where a normalisation of 0s gives 0
    x = pictures(2, 64 if name == "resnet18" else 256, 6)
    assert torch.equal(model.layer1[1](x), x.relu())
    torch.testing.assert_close(model.layer2[0](x), model.layer2[0].downsample(x).relu())
    plain = models.create(name, seed=0)
    assert not torch.allclose(plain.layer1[1](x), x.relu())
    ended = [key for key, value in model.named_parameters() if "bn" in key and (value == 0).all() and "weight" in key]
    last = "bn3.weight" if name == "resnet50" else "bn2.weight"
    assert ended == [key for key, _ in model.named_parameters() if key.endswith(last)]


@pytest.mark.slow
def test_convolutions_start_as_he_draws_them():
    model = models.create("resnet50", 10, 3, 224, seed=0)
    for layer in (model.conv1, model.layer3[1].conv2, model.layer4[0].downsample[0]):
        kernel = layer.weight
        assert kernel.std().item() == pytest.approx((2 / kernel[:, 0].numel()) ** 0.5, rel=0.02)
        assert layer.bias is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "smallest"),
    [("resnet18:stem=imagenet", 17), ("resnet50:stem=imagenet", 17), ("resnet18", 5), ("resnet50", 5), ("resnet20", 3)],
)
def test_the_smallest_image(name, smallest):
    for size in (smallest - 1, (smallest - 1, 64), (64, smallest - 1)):
        text = f"{name}:stem=small" if name in TABLE_1 else name
        with pytest.raises(ShapeError, match=rf"needs images of at least {smallest}×{smallest} pixels, got .*larger"):
            models.create(text, image_size=size)
    assert models.create(name, image_size=smallest, seed=0).eval()(pictures(1, 1, smallest)).shape == (1, 10)


def test_an_image_too_small_for_one_stem_is_sent_to_the_other():
    with pytest.raises(ShapeError, match=r"^resnet34 .* got 16×20: choose resnet34:stem=small or pass a larger"):
        models.create("resnet34", image_size=(16, 20), stem="imagenet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 28), ("resnet18:stem=imagenet", 28), ("resnet50:stem=imagenet", 32), ("resnet20", 28)],
)
def test_small_images_train(name, size):
    model = models.create(name, 7, 3, size, seed=0)
    logits = model(pictures(2, 3, size))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_stem_follows_the_image():
    assert shape_only("resnet18", image_size=63).architecture.options["stem"] == "small"
    assert shape_only("resnet18", image_size=64).architecture.options["stem"] == "imagenet"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet20"])
@torch.no_grad()
def test_what_a_hook_sees_is_not_changed_afterwards(name):
    """No module is called twice, and none writes over what another has made."""
    model, calls, kept = stirred(name, 3, 1, 20), [], []

    def watch(module, inputs, output):
        calls.append(module)
        kept.append((output, output.clone()))

    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(watch)
    model(pictures(2, 1, 20))
    assert len(calls) == len(set(calls))
    assert all(torch.equal(seen, copy) for seen, copy in kept)
    assert {module for module in model.modules() if not list(module.children())} == set(calls)
