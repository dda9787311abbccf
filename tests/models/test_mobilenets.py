"""MobileNetV2, MobileNetV3-Large and EfficientNet-B0: their tables, torchvision's names, functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models.published import count, digest, drawn, filled, normed, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.errors import ShapeError
from striate.layers import StochasticDepth
from striate.models.mobilenet_v3 import divisible


def repeated(rows):
    """Blocks (expanded channels, output channels, kernel, stride, squeezed channels) of rows that stand for several."""
    before = 32
    for expansion, made, blocks, stride, kernel, squeezes in rows:
        for block in range(blocks):
            yield (
                before,
                expansion * before,
                made,
                kernel,
                1 if block else stride,
                before // 4 if squeezes else 0,
                block,
            )
            before = made


# Input, expanded and output channels, kernel, stride, channels of squeeze-and-excitation, position in its stage.
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
B0 = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5)]
B0 += [(6, 320, 1, 1, 3)]
V3 = [
    (16, 16, 16, 3, 1, 0), (16, 64, 24, 3, 2, 0), (24, 72, 24, 3, 1, 0), (24, 72, 40, 5, 2, 24),
    (40, 120, 40, 5, 1, 32), (40, 120, 40, 5, 1, 32), (40, 240, 80, 3, 2, 0), (80, 200, 80, 3, 1, 0),
    (80, 184, 80, 3, 1, 0), (80, 184, 80, 3, 1, 0), (80, 480, 112, 3, 1, 120), (112, 672, 112, 3, 1, 168),
    (112, 672, 160, 5, 2, 168), (160, 960, 160, 5, 1, 240), (160, 960, 160, 5, 1, 240),
]  # fmt: skip
BLOCKS = {
    "mobilenet_v2": list(repeated((*row, 3, False) for row in V2)),
    "mobilenet_v3_large": [(*row, 0) for row in V3],
    "efficientnet_b0": list(repeated((*row, True) for row in B0)),
}
WIDTHS = {"mobilenet_v2": (32, 1280), "mobilenet_v3_large": (16, 960), "efficientnet_b0": (32, 1280)}
# Parameters, the digest of torchvision's state, and multiply-adds: the papers' tables.
PUBLISHED = {
    "mobilenet_v2": (3_504_872, "eaba618cc6196d4c", 300e6),
    "mobilenet_v3_large": (5_483_032, "1a2b07ecc55ecfbb", 219e6),
    "efficientnet_b0": (5_288_548, "1ff6549f03fca1fe", 390e6),
}
EPSILON = {"mobilenet_v2": 1e-5, "mobilenet_v3_large": 1e-3, "efficientnet_b0": 1e-5}
every = pytest.mark.parametrize("name", PUBLISHED)


def paths(name):
    """The path of every block: EfficientNet's stages are one level more."""
    stage = 0
    for i, (*_, position) in enumerate(BLOCKS[name]):
        stage += position == 0
        yield f"features.{stage}.{position}" if name == "efficientnet_b0" else f"features.{i + 1}"


def steps(name, path, before, expanded, squeezed):
    """Paths of a block's units: convolution and normalisation of each, and the squeeze-and-excitation."""
    inner = f"{path}.{'conv' if name == 'mobilenet_v2' else 'block'}"
    names = ["expand"] * (expanded != before) + ["depthwise"] + ["squeeze"] * (squeezed > 0) + ["project"]
    found = {step: (f"{inner}.{i}.0", f"{inner}.{i}.1") for i, step in enumerate(names)}
    if name == "mobilenet_v2":
        found["project"] = (f"{inner}.{len(names) - 1}", f"{inner}.{len(names)}")
    if squeezed:
        found["squeeze"] = (f"{inner}.{names.index('squeeze')}.fc1", f"{inner}.{names.index('squeeze')}.fc2")
    return found


def expected_state(name):
    state = {}

    def unit(paths, outputs, inputs, kernel):
        conv, norm = paths
        state[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
        state.update({f"{norm}.{each}": (outputs,) for each in ("weight", "bias", "running_mean", "running_var")})
        state[f"{norm}.num_batches_tracked"] = ()

    first, last = WIDTHS[name]
    unit(("features.0.0", "features.0.1"), first, 3, 3)
    for path, (before, expanded, made, kernel, _, squeezed, _) in zip(paths(name), BLOCKS[name], strict=True):
        at = steps(name, path, before, expanded, squeezed)
        if "expand" in at:
            unit(at["expand"], expanded, before, 1)
        unit(at["depthwise"], expanded, 1, kernel)
        for conv, (out, into) in zip(at.get("squeeze", ()), ((squeezed, expanded), (expanded, squeezed)), strict=False):
            state |= {f"{conv}.weight": (out, into, 1, 1), f"{conv}.bias": (out,)}
        unit(at["project"], made, expanded, 1)
    end = 8 if name == "efficientnet_b0" else len(BLOCKS[name]) + 1
    unit((f"features.{end}.0", f"features.{end}.1"), last, BLOCKS[name][-1][2], 1)
    dense = {"0": (1280, 960), "3": (1000, 1280)} if name == "mobilenet_v3_large" else {"1": (1000, 1280)}
    for number, (out, into) in dense.items():
        state |= {f"classifier.{number}.weight": (out, into), f"classifier.{number}.bias": (out,)}
    return state


@every
def test_names_and_shapes_are_torchvisions(name):
    model, (parameters, theirs, _) = sketch(name), PUBLISHED[name]
    assert list(shapes(model).items()) == list(expected_state(name).items())
    assert digest(shapes(model)) == theirs
    assert count(model) == parameters


@pytest.mark.slow
@every
def test_every_size_is_the_tables(name):
    table = drawn(name)
    made, size = outputs(table), 112
    assert made["features.0.0"] == (WIDTHS[name][0], size, size)
    for path, (before, expanded, outs, _, stride, squeezed, _) in zip(paths(name), BLOCKS[name], strict=True):
        at = steps(name, path, before, expanded, squeezed)
        if "expand" in at:
            assert made[at["expand"][0]] == (expanded, size, size)
        size //= stride
        assert made[at["depthwise"][0]] == (expanded, size, size)
        assert made[at["project"][0]] == (outs, size, size)
        assert (f"{path}.add" in made) == (stride == 1 and before == outs)
    assert size == 7
    assert made["avgpool"] == (WIDTHS[name][1],)
    assert table.parameters == PUBLISHED[name][0]
    assert table.multiply_adds == pytest.approx(PUBLISHED[name][2], rel=0.02)


def composed(x, w, name, stride):
    """The network in functional PyTorch, of nothing but its weights."""

    def unit(x, paths, function, stride=1):
        conv, norm = paths
        weight = w[f"{conv}.weight"]
        groups = weight.shape[0] if weight.shape[1] == 1 < weight.shape[-1] and conv != "features.0.0" else 1
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        return function(normed(x, w, norm, EPSILON[name]))

    def hard_swish(x):
        return x * (x + 3).clamp(0, 6) / 6

    def swish(x):
        return x / (1 + (-x).exp())

    usual = {"mobilenet_v2": lambda x: x.clamp(0, 6), "mobilenet_v3_large": hard_swish, "efficientnet_b0": swish}[name]
    x = unit(x, ("features.0.0", "features.0.1"), usual, stride)
    for i, (path, block) in enumerate(zip(paths(name), BLOCKS[name], strict=True)):
        before, expanded, made, _, stride, squeezed, _ = block
        at = steps(name, path, before, expanded, squeezed)
        function = torch.relu if name == "mobilenet_v3_large" and i < 6 else usual
        y = unit(x, at["expand"], function) if "expand" in at else x
        y = unit(y, at["depthwise"], function, stride)
        if squeezed:
            one, two = at["squeeze"]
            means = y.mean((2, 3), keepdim=True)
            hidden = F.conv2d(means, w[f"{one}.weight"], w[f"{one}.bias"])
            hidden = swish(hidden) if name == "efficientnet_b0" else hidden.relu()
            gate = F.conv2d(hidden, w[f"{two}.weight"], w[f"{two}.bias"])
            y = y * (gate.sigmoid() if name == "efficientnet_b0" else (gate / 6 + 0.5).clamp(0, 1))
        y = unit(y, at["project"], lambda x: x)
        x = x + y if stride == 1 and before == made else y
    end = max(int(key.split(".")[1]) for key in w if key.startswith("features."))
    x = unit(x, (f"features.{end}.0", f"features.{end}.1"), usual).mean((2, 3))
    if name == "mobilenet_v3_large":
        x = hard_swish(F.linear(x, w["classifier.0.weight"], w["classifier.0.bias"]))
    number = 3 if name == "mobilenet_v3_large" else 1
    return F.linear(x, w[f"classifier.{number}.weight"], w[f"classifier.{number}.bias"])


@pytest.mark.slow
@every
@pytest.mark.parametrize(("stem", "size", "channels"), [("imagenet", (64, 75), 3), ("small", (28, 21), 1)])
@torch.no_grad()
def test_the_network_is_the_weights_in_functional_pytorch(name, stem, size, channels):
    model = sketch(f"{name}:stem={stem}", size, 12, channels).to_empty(device="cpu").eval()
    state = {key: value.double() for key, value in filled(model).items()}
    x = pictures(2, channels, *size).double()
    expected = composed(x, state, name, 2 if stem == "imagenet" else 1)
    assert expected.std() > 0.1
    torch.testing.assert_close(model.double()(x), expected, rtol=1e-5, atol=1e-5)


@every
def test_normalisation_and_dropout_are_torchvisions(name):
    model = sketch(name)
    momentum = 0.01 if name == "mobilenet_v3_large" else 0.1
    norms = {(norm.eps, norm.momentum) for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)}
    assert norms == {(EPSILON[name], momentum)}
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.2]
    rates = {path: module.p for path, module in model.named_modules() if isinstance(module, StochasticDepth)}
    numbers = {f"{path}.stochastic_depth": i for i, path in enumerate(paths(name))}
    assert rates == pytest.approx({path: 0.2 * numbers[path] / 16 for path in rates})
    assert len(rates) == (9 if name == "efficientnet_b0" else 0)
    assert models.facts(name).normalization == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@every
def test_weights_start_by_fan_out(name):
    model = models.create(name, 50, seed=0)
    dense = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for layer in dense:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert not layer.bias.any()
    large = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.weight.numel() > 30_000]
    for layer in large:
        fan_out = layer.out_channels // layer.groups * layer.kernel_size[0] ** 2
        assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    assert len(large) > 5


@pytest.mark.slow
@every
@pytest.mark.parametrize(("stem", "least"), [("imagenet", 17), ("small", 9)])
def test_the_smallest_image(name, stem, least):
    text = f"{name}:stem={stem}"
    table = drawn(text, (least, 40))
    assert [row.size[0] for row in table.rows if row.size and row.size[0] > 1][-1] == 2
    assert outputs(table)["avgpool"] == (WIDTHS[name][1],)
    with pytest.raises(ShapeError, match=rf"stem={stem} needs images of at least {least}×{least} pixels"):
        sketch(text, (least - 1, 70))


@pytest.mark.slow
@every
def test_small_images_train(name):
    model = models.create(name, 7, 3, 28, seed=0)
    assert model.features[0][0].stride == (1, 1)
    model(pictures(2, 3, 28, 28)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("asked", "made"), [(40, 40), (44, 48), (19.2, 24), (17.6, 16), (3, 8), (100.8, 104), (272, 272)]
)
def test_channels_are_rounded_to_multiples_of_8(asked: float, made: int) -> None:
    assert divisible(asked) == made


@given(st.floats(1, 5000))
def test_rounded_channels_are_near_what_was_asked_for(asked: float) -> None:
    made = divisible(asked)
    assert made % 8 == 0
    assert made >= 0.9 * asked
    assert made <= asked + 8
