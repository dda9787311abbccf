"""Large kernels: counted by hand, and stacks that see and make the same."""

import pytest
import torch
from looked_at import finding, findings
from torch import nn

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
