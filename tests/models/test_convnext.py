"""ConvNeXt-T: the paper's table, torchvision's names, and its weights in functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from models.published import count, digest, drawn, filled, outputs, pictures, shapes, sketch
from torch import nn

from striate import models
from striate.errors import ShapeError
from striate.layers import StochasticDepth

PARAMETERS, TORCHVISIONS, MULTIPLY_ADDS = 28_589_128, "eeab576c3651cc29", 4.5e9
STAGES = {1: (3, 96), 3: (3, 192), 5: (9, 384), 7: (3, 768)}  # blocks, channels


def dense(name, outputs, *inputs):
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


def expected_state():
    """torchvision.models.convnext_tiny's state, in its order."""
    state = dense("features.0.0", 96, 3, 4, 4) | dense("features.0.1", 96)
    for number, (blocks, width) in STAGES.items():
        if number > 1:
            before = f"features.{number - 1}"
            state |= dense(f"{before}.0", width // 2) | dense(f"{before}.1", width, width // 2, 2, 2)
        for block in range(blocks):
            at = f"features.{number}.{block}"
            state |= {f"{at}.layer_scale": (width, 1, 1)} | dense(f"{at}.block.0", width, 1, 7, 7)
            state |= dense(f"{at}.block.2", width) | dense(f"{at}.block.3", 4 * width, width)
            state |= dense(f"{at}.block.5", width, 4 * width)
    return state | dense("classifier.0", 768) | dense("classifier.2", 1000, 768)


def test_names_and_shapes_are_torchvisions():
    model = sketch("convnext_tiny")
    assert list(shapes(model).items()) == list(expected_state().items())
    assert digest(shapes(model)) == TORCHVISIONS
    assert count(model) == PARAMETERS


@pytest.mark.slow
def test_every_size_is_the_tables():
    table = drawn("convnext_tiny")
    made, side = outputs(table), 56
    assert made["features.0.0"] == made["features.0.1"] == (96, 56, 56)
    for number, (blocks, width) in STAGES.items():
        for block in range(blocks):
            at = f"features.{number}.{block}"
            assert made[f"{at}.block.0"] == made[f"{at}.block.5"] == made[f"{at}.add"] == (width, side, side)
            assert made[f"{at}.block.3"] == (4 * width, side, side)
        side //= 2
    assert made["features.6.1"] == (768, 7, 7)
    assert made["classifier.2"] == (1000,)
    assert table.parameters == PARAMETERS
    assert table.unknown == ()
    assert table.multiply_adds == pytest.approx(MULTIPLY_ADDS, rel=0.02)
    # The horizontal and the vertical field grow alike, through every normalisation across channels.
    fields = {row.layer: row.field for row in table.rows}
    assert (fields["features.1.2.add"], fields["features.7.2.add"]) == ("76×76", "1688×1688")


def composed(x, w, step):
    """The network in functional PyTorch, with the channels last, of nothing but its weights."""

    def norm(x, name):
        mean, var = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
        return (x - mean) / (var + 1e-6).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    def conv(x, name, stride, padding=0, groups=1):
        kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        return F.conv2d(x.permute(0, 3, 1, 2), kernel, bias, stride, padding, 1, groups).permute(0, 2, 3, 1)

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = norm(conv(x.permute(0, 2, 3, 1), "features.0.0", step), "features.0.1")
    for number, (blocks, width) in STAGES.items():
        if number > 1:
            x = conv(norm(x, f"features.{number - 1}.0"), f"features.{number - 1}.1", 2)
        for block in range(blocks):
            at = f"features.{number}.{block}"
            y = linear(norm(conv(x, f"{at}.block.0", 1, 3, width), f"{at}.block.2"), f"{at}.block.3")
            y = linear(y * (1 + torch.erf(y / 2**0.5)) / 2, f"{at}.block.5")
            x = x + y * w[f"{at}.layer_scale"].flatten()
    return linear(norm(x.mean((1, 2)), "classifier.0"), "classifier.2")


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "size", "channels"), [("imagenet", (64, 43), 3), ("small", (28, 17), 1)])
@torch.no_grad()
def test_the_network_is_the_weights_in_functional_pytorch(stem, size, channels):
    model = sketch(f"convnext_tiny:stem={stem}", size, 12, channels).to_empty(device="cpu").eval()
    filled(model)
    x = pictures(2, channels, *size).double()
    expected = composed(x, model.double().state_dict(), 4 if stem == "imagenet" else 2)
    assert expected.std() > 0.1
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_what_else_is_published():
    model = models.create("convnext_tiny", 10, 3, 32, seed=0)
    rates = [module.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1 * i / 17 for i in range(1, 18)])
    assert {m.eps for m in model.modules() if isinstance(m, nn.LayerNorm)} == {1e-6}
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert not module.bias.any()
            if module.weight.numel() > 100_000:
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert all((scale == 1e-6).all() for key, scale in model.named_parameters() if key.endswith("layer_scale"))
    assert models.facts("convnext_tiny").normalization == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "least"), [("imagenet", 32), ("small", 16)])
def test_the_smallest_image(stem, least):
    text = f"convnext_tiny:stem={stem}"
    assert outputs(drawn(text, (least, 70)))["features.6.1"][1] == 1
    with pytest.raises(ShapeError, match=rf"stem={stem} needs images of at least {least}×{least} pixels"):
        sketch(text, (least - 1, 70))


@pytest.mark.slow
def test_small_images_train():
    model = models.create("convnext_tiny", 7, 3, 28, seed=0)
    model(pictures(2, 3, 28, 28)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
