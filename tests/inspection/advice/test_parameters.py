"""Large kernels and flattened heads: counted by hand, and what replaces them computes the same."""

import pytest
import torch
from foreign import Tutorial, residual
from looked_at import finding, findings
from torch import Tensor, nn

from striate import models
from striate.inspection import describe, receptive_fields


def network(*second: nn.Module, first: int = 3, shape: tuple[int, int, int] = (1, 20, 20)) -> nn.Sequential:
    """A first layer with 8 maps, the given ones, and a head for whatever comes out."""
    before = nn.Sequential(nn.Conv2d(1, 8, first, padding=first // 2), nn.ReLU(), *second)
    maps = before(torch.zeros(1, *shape)).shape[1]
    return before.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, 5)])


def test_what_stacking_saves_is_counted_by_hand() -> None:
    model = network(nn.Conv2d(8, 8, 5, padding=2), nn.ReLU())
    found = finding("large-kernel", model, (1, 20, 20))
    assert found.layers == ("2",)
    assert found.numbers == {
        "weights": 5 * 5 * 8 * 8,
        "stacked_weights": 2 * 3 * 3 * 8 * 8,
        "multiply_adds": 5 * 5 * 8 * 8 * 400,
        "stacked_multiply_adds": 2 * 3 * 3 * 8 * 8 * 400,
    }
    assert found.saves.parameters == (1600 + 8) - 2 * (576 + 8)
    assert found.saves.multiply_adds == (1600 - 1152) * 400
    assert "1 kernel of 5×5 after the first layer: 1,600 weights, 640k multiply-adds" in found.found


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(8, 8, 5, padding=2),
        nn.Conv2d(8, 8, 5, padding="same"),
        nn.Conv2d(8, 8, 7),
        nn.Conv2d(8, 12, 5, padding=1),
        nn.Conv2d(8, 8, 9, padding=(3, 4), bias=False),
        nn.Conv2d(8, 16, 5, padding=2, groups=4),
        nn.Conv2d(8, 8, 17, stride=2, padding=8),
    ],
)
def test_the_stack_sees_and_makes_the_same_and_costs_what_was_said(conv: nn.Conv2d) -> None:
    model = network(conv, nn.ReLU())
    found = finding("large-kernel", model, (1, 20, 20))
    changed = found.apply(model, (1, 20, 20))
    before, after = (receptive_fields(each, (1, 20, 20))["2"] for each in (model, changed))
    assert (before.size, before.start, before.rows) == (after.size, after.start, after.rows)
    assert {each.kernel_size for each in changed[2] if isinstance(each, nn.Conv2d)} == {(3, 3)}
    counts = [describe(each, (1, 20, 20)).multiply_adds for each in (model, changed)]
    assert counts[0] - counts[1] == found.saves.multiply_adds
    assert counts[0] - counts[1] == found.numbers["multiply_adds"] - found.numbers["stacked_multiply_adds"]


def test_maps_grow_by_equal_factors_and_weights_are_as_wide() -> None:
    model = network(nn.Conv2d(8, 27, 7, padding=3), nn.ReLU())
    stack = finding("large-kernel", model, (1, 20, 20)).apply(model, (1, 20, 20))[2]
    convs = [each for each in stack if isinstance(each, nn.Conv2d)]
    assert [(each.in_channels, each.out_channels) for each in convs] == [(8, 12), (12, 18), (18, 27)]
    variance = float(model[2].weight.detach().var()) * 49 * 8  # times the inputs of a unit
    for each in convs:
        assert float(each.weight.detach().var()) * 9 * each.in_channels == pytest.approx(variance, rel=0.2)


def test_what_stands_behind_the_kernel_stands_in_the_stack() -> None:
    conv = nn.Conv2d(8, 8, 5, padding=2, bias=False)
    model = network(conv, nn.BatchNorm2d(8), nn.Tanh())
    stack = finding("large-kernel", model, (1, 20, 20)).apply(model, (1, 20, 20))[2]
    assert [type(each) for each in stack] == [nn.Conv2d, nn.BatchNorm2d, nn.Tanh, nn.Conv2d]
    for behind in ((nn.MaxPool2d(2),), (nn.ReLU(), nn.BatchNorm2d(8)), (nn.PReLU(8),)):
        plain = network(conv, *behind)
        stack = finding("large-kernel", plain, (1, 20, 20)).apply(plain, (1, 20, 20))[2]
        assert [type(each) for each in stack] == [nn.Conv2d, nn.ReLU, nn.Conv2d]


@pytest.mark.parametrize(
    "model",
    [
        network(nn.Conv2d(8, 8, 3, padding=1), first=7),
        network(nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 20)),  # as large as the map: a dense layer
        network(nn.Conv2d(8, 64, 5, padding=2)),  # the stack would have 9 · (8 · 23 + 23 · 64) weights, and 5 · 5 · 512
        network(nn.Conv2d(8, 2, 5, padding=2), nn.Conv2d(2, 64, 3), nn.Conv2d(64, 64, 3)),  # hardly anything of it all
        network(nn.Conv2d(8, 8, (1, 7), padding=(0, 3))),
        network(nn.Conv2d(8, 8, 5, dilation=2)),
        network(nn.Conv2d(8, 8, 4)),
        network(nn.Conv2d(8, 8, 15, stride=2, padding=7)),  # the stack would have as many multiply-adds
        network(nn.MaxPool2d(4), nn.Conv2d(8, 8, 5)),  # 5 → 1: 1,600 multiply-adds, and of the stack 9 · 576 + 576
    ],
)
def test_a_large_first_layer_and_kernels_without_gain_are_left_alone(model: nn.Module) -> None:
    assert findings("large-kernel", model, (1, 20, 20)) == []


def test_a_kernel_as_large_as_a_map_that_it_keeps_is_stacked() -> None:
    model = network(nn.Conv2d(8, 8, 5, padding=2))
    assert finding("large-kernel", model, (1, 5, 5)).layers == ("2",)


@pytest.mark.parametrize(("more", "is_found"), [(7227, True), (7228, False)])
def test_a_twentieth_of_the_parameters_is_worth_it(more: int, is_found: bool) -> None:
    """448 weights less, of 8,960 and of 8,961; of the multiply-adds it is 3 %."""
    model = network(nn.AdaptiveAvgPool2d(3), nn.Conv2d(8, 8, 5, padding=2))
    model.more = nn.Parameter(torch.zeros(more))
    assert sum(each.numel() for each in model.parameters()) == 8960 + (not is_found)
    assert bool(findings("large-kernel", model, (1, 40, 40))) is is_found


@pytest.mark.parametrize(("classes", "is_found"), [(14576, True), (14577, False)])
def test_a_twentieth_of_the_multiply_adds_is_worth_it(classes: int, is_found: bool) -> None:
    """7,168 multiply-adds less, of 143,360 and of 143,368; of the parameters it is 0.3 %."""
    model = network(nn.Conv2d(8, 8, 5, padding=2))
    model[-1] = nn.Linear(8, classes)
    assert describe(model, (1, 4, 4)).multiply_adds == 143360 + 8 * (not is_found)
    assert bool(findings("large-kernel", model, (1, 4, 4))) is is_found


def test_a_convolution_of_another_kind_is_found_and_not_changed() -> None:
    class Mine(nn.Conv2d):
        pass

    found = finding("large-kernel", network(Mine(8, 8, 5, padding=2)), (1, 20, 20))
    assert found.surgery is None
    assert found.saves is None
    assert "not a plain convolution" in found.manual


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
