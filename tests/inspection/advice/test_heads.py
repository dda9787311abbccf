"""Flattened heads: their share counted by hand, and what an averaged head computes."""

import pytest
import torch
from foreign import Tutorial, residual
from looked_at import finding, findings
from torch import Tensor, nn

from striate import models


def flat(units: int = 32) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, units), nn.ReLU(), nn.Linear(units, 5)
    )


def test_the_share_of_a_flattened_head() -> None:
    model = flat()
    found = finding("flattened-head", model, (1, 8, 8))
    own, everything = 6 * 64 * 32 + 32, (9 * 6 + 6) + (6 * 64 * 32 + 32) + (32 * 5 + 5)
    assert found.layers == ("3",)
    assert found.numbers == {"parameters": own, "share": own / everything, "maps": 6, "cells": 64}
    assert found.saves.parameters == 6 * 63 * 32
    assert found.saves.multiply_adds == 6 * 63 * 32


@pytest.mark.parametrize(("classes", "more", "is_found"), [(147, 0, True), (162, 1, False), (178, 0, False)])
def test_more_than_half_of_all_parameters_is_too_much(classes: int, more: int, is_found: bool) -> None:
    model = flat(1)
    model[5] = nn.Linear(1, classes)
    model.more = nn.Parameter(torch.zeros(more))
    share = 385 / sum(each.numel() for each in model.parameters())
    assert share == pytest.approx({147: 0.521, 162: 0.5, 178: 0.4807}[classes], abs=1e-4)
    assert bool(findings("flattened-head", model, (1, 8, 8))) is is_found


def test_the_changed_head_is_the_dense_layer_on_the_means() -> None:
    model = flat()
    changed = finding("flattened-head", model, (1, 8, 8)).apply(model, (1, 8, 8))
    maps = torch.randn(4, 6, 8, 8)
    dense = changed[3][-1]
    expected = maps.mean((2, 3)) @ dense.weight.T + dense.bias
    assert torch.allclose(changed[3](maps.flatten(1)), expected, atol=1e-5)
    assert torch.equal(dense.bias, model[3].bias)
    assert torch.equal(changed[0].weight, model[0].weight)


def test_a_head_that_is_flattened_by_a_function() -> None:
    model = Tutorial()
    model.fc = nn.Linear(400, 64)
    found = finding("flattened-head", model, (3, 32, 32))
    assert (found.layers, found.numbers["maps"], found.numbers["cells"]) == (("fc",), 16, 25)
    assert found.apply(model, (3, 32, 32))(torch.randn(2, 3, 32, 32)).shape == (2, 64)


def test_a_convolution_over_the_whole_map_is_a_flattened_head() -> None:
    model = models.create("lenet5", seed=0)
    found = finding("flattened-head", model, (1, 28, 28))
    assert found.numbers["parameters"] == 48120  # LeCun et al. 1998
    changed = found.apply(model)
    assert not hasattr(changed, "architecture")
    assert changed.get_submodule("c5")[1].weight.shape == (120, 16, 1, 1)
    assert found.saves.parameters == 16 * 24 * 120
    assert changed(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_a_dense_layer_of_another_kind_is_found_and_not_changed() -> None:
    class Mine(nn.Linear):
        pass

    model = flat()
    model[3] = Mine(6 * 64, 32)
    found = finding("flattened-head", model, (1, 8, 8))
    assert (found.surgery, found.manual) == (None, "the layer is of a custom type")


class Longer(nn.Module):
    """Flat, and with one number more."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x.flatten(1), (0, 1))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (residual(), (3, 16, 16)),
        (nn.Sequential(nn.Conv2d(1, 40, 3), nn.Conv2d(40, 40, 3), nn.Flatten(), nn.Linear(40 * 16, 5)), (1, 8, 8)),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 99)), (1, 8, 8)),
        (models.create("fashion_cnn", seed=0), (1, 28, 28)),
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(2), nn.Linear(64, 99), nn.Flatten()), (1, 8, 8)),
        (nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Longer(), nn.Linear(257, 99)), (1, 8, 8)),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 99, 1), nn.Flatten()), (1, 8, 8)),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 40, 3, padding=1), nn.Flatten()), (1, 5, 5)),
    ],
)
def test_means_and_small_heads_are_left_alone(model: nn.Module, shape: tuple[int, int, int]) -> None:
    assert findings("flattened-head", model, shape) == []
