"""Receptive fields too small, and weights that meet nothing but padding: against fields and gradients."""

import pytest
import torch
from foreign import residual
from looked_at import finding, findings
from torch import nn

from striate import models
from striate.inspection import receptive_fields


def shallow(*more: nn.Module) -> nn.Sequential:
    """Sees 3 + 1 + 2 · 2 = 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), *more,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


def test_last_maps_that_see_a_corner_are_found_with_the_layers_that_lack() -> None:
    found = finding("small-field", shallow(), (1, 28, 28))
    assert found.layers == ("2",)
    assert found.numbers == {"field": 8, "image": 28, "stride": 2, "layers_missing": 5}
    assert "8×8 of the image's 28×28 pixels (8.2 % of its area)" in found.found
    assert found.surgery is None
    deeper = receptive_fields(shallow(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(5))), (1, 28, 28))
    assert deeper["7"].size == (28, 28)
    assert deeper["6"].size < (28, 28)


def test_fields_of_half_the_image_are_left_alone() -> None:
    assert findings("small-field", shallow(), (1, 16, 16)) == []
    assert findings("small-field", models.create("fashion_cnn", seed=0), (1, 28, 28)) == []


def idle_by_gradient(model: nn.Module, path: str, shape: tuple[int, int, int]) -> int:
    """Weights by which no output of many images of noise has a derivative."""
    conv = model.eval().get_submodule(path)
    model(torch.rand(16, *shape) + 0.1).square().sum().backward()
    assert isinstance(conv, nn.Conv2d)
    return int((conv.weight.grad == 0).sum())


def deep(classes: int = 5) -> nn.Sequential:
    """Halves 8 pixels to 1, where it has a convolution."""
    halves = [each for _ in range(3) for each in (nn.Conv2d(4, 4, 3, padding=1), nn.Softplus(), nn.MaxPool2d(2))]
    last = (nn.Conv2d(4, 6, 3, padding="same"), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))
    return nn.Sequential(nn.Conv2d(1, 4, 1), *halves, *last)


def test_weights_that_only_meet_padding_are_those_without_a_gradient() -> None:
    model = deep()
    found = finding("large-field", model, (1, 8, 8))
    assert found.layers == ("10",)
    assert found.numbers["idle_weights"] == idle_by_gradient(model, "10", (1, 8, 8)) == 4 * 6 * 8
    assert "down to 1×1 there: 192 weights" in found.found
    changed = found.apply(model, (1, 8, 8))
    assert idle_by_gradient(changed, "10", (1, 8, 8)) == 0
    assert changed[3].stride == changed[6].stride == (1, 1)  # 8 → 7 → 6 → 3; the first alone: 8 → 7 → 3 → 1
    assert changed[9].stride == model[3].stride == 2
    assert "3 and 6 without a stride" in found.change


def test_large_fields_on_maps_that_are_large_enough_are_left_alone() -> None:
    assert findings("large-field", deep(), (1, 16, 16)) == []
    assert findings("large-field", residual(), (3, 16, 16)) == []


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_a_published_resnet_on_small_images(stem: str) -> None:
    model = models.create(f"resnet18:stem={stem}", seed=0)
    found = findings("large-field", model, (1, 28, 28))
    assert bool(found) is (stem == "imagenet")
    if found:
        wide = 3 * 512 * 512 + 256 * 512  # the last stage's 3×3 convolutions see one cell, or a corner of four
        assert found[0].numbers["idle_weights"] == wide * 8 - 256 * 512 * (8 - 5)
        assert found[0].numbers["field"] == 435
