"""Layer by layer: for networks whose equivariance is known, and what reaches the other side of a layer."""

import numpy as np
import pytest
import torch
from foreign import residual
from torch import Tensor, nn

from striate import layers, models, seeding
from striate.inspection import LayerShift
from striate.inspection.invariances.layers import layer_shifts, shifted_map


def images(count: int, side: int, channels: int = 1) -> Tensor:
    return torch.randint(0, 256, (count, side, side, channels), generator=torch.Generator().manual_seed(2)).byte()


def shifts(model: nn.Module, given: Tensor, greatest: int = 3) -> dict[str, LayerShift]:
    def inputs(some: Tensor) -> Tensor:
        return some.permute(0, 3, 1, 2).float() / 255

    return {each.layer: each for each in layer_shifts(model.eval(), inputs, given, greatest, seed=0)}


def circular(into: int, out: int, **settings: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, padding=1, padding_mode="circular", **settings)


def test_whole_moves_are_rolls_and_fractions_are_exact_for_waves():
    maps = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    by = torch.tensor([[2.0, -3.0], [0.0, 8.0]], dtype=torch.float64)
    expected = torch.stack([maps[0].roll((2, -3), (1, 2)), maps[1].roll((0, 8), (1, 2))])
    torch.testing.assert_close(shifted_map(maps, by), expected)
    columns = torch.arange(7, dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * (2 * columns / 7 + 0.1)).expand(1, 1, 6, 7)
    moved = torch.cos(2 * torch.pi * (2 * (columns - 0.3) / 7 + 0.1)).expand(1, 1, 6, 7)
    torch.testing.assert_close(shifted_map(wave, torch.tensor([[0.7, 0.3]], dtype=torch.float64)), moved)


def test_without_stride_all_is_equivariant_and_the_global_mean_is_invariant():
    model = nn.Sequential(
        circular(1, 4), nn.ReLU(), circular(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    found = shifts(model, images(6, 16))
    for name in ("0", "1", "2"):
        assert found[name].stride == (1, 1)
        assert found[name].equivariance < 1e-4
        assert found[name].invariance > 0.5
    for name in ("3", "4", "5"):
        assert found[name].stride is None
        assert found[name].equivariance is None
        assert found[name].invariance < 1e-4


def test_pooling_breaks_equivariance_and_a_blur_restores_most_of_it():
    with seeding.scoped(0, "test"):
        model = nn.Sequential(circular(1, 4), nn.ReLU(), nn.MaxPool2d(2), circular(4, 4))
    blurred = models.antialias(model, "bin-5", (1, 32, 32))
    plain, better = shifts(model, images(8, 32)), shifts(blurred, images(8, 32))
    assert plain["2"].stride == better["2.1"].stride == plain["3"].stride == (2, 2)
    assert plain["1"].equivariance < 1e-4 < 0.1 < plain["2"].equivariance
    assert better["2.1"].equivariance < 0.5 * plain["2"].equivariance
    assert better["3"].equivariance < 0.5 * plain["3"].equivariance


def test_even_moves_are_followed_by_any_pooling():
    """What is broken is the fraction of a cell: moves by the whole stride are rolls."""
    model = nn.Sequential(nn.MaxPool2d(2))
    x = images(4, 16)
    here, there = (model(each.permute(0, 3, 1, 2).float()) for each in (x, x.roll((2, 4), (1, 2))))
    torch.testing.assert_close(shifted_map(here, torch.tensor([[1.0, 2.0]]).expand(4, 2)), there, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "kept", "reached"),
    [
        (nn.MaxPool2d(2), 0.25, 0.25),
        (layers.AvgPool2d(2), 0.25, 1),
        (nn.Conv2d(1, 4, 1, stride=2), 1, 0.25),
        (nn.Conv2d(1, 4, 3, padding=1, stride=2), 1, 1),
        (nn.Conv2d(1, 2, 3, padding=1), 2, 1),
        (layers.GlobalMaxPool2d(), 1 / 64, 1 / 64),
        (nn.Threshold(0.5, 0), 1, None),
        (nn.ReLU(inplace=True), 1, 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_a_layer_keeps_and_what_reaches_it(layer, kept, reached):
    given = torch.randperm(256)[:256].reshape(4, 8, 8, 1).byte()  # no two values alike, so that no maximum is shared
    found = shifts(nn.Sequential(layer), given)["0"]
    assert found.kept == kept
    above = float((given > 127).double().mean())
    assert found.reached == pytest.approx(
        above if reached is None else reached, abs=0.02 if isinstance(layer, nn.ReLU) else 1e-9
    )


def test_strides_of_networks_with_dense_layers_and_of_others():
    lenet = shifts(models.create("lenet5", seed=0), images(3, 28))
    assert {name: lenet[name].stride for name in ("c1", "s2", "c3", "s4", "c5", "output")} == {
        "c1": (1, 1), "s2": (2, 2), "c3": (2, 2), "s4": (4, 4), "c5": None, "output": None,
    }  # fmt: skip
    assert lenet["s4"].size == (5, 5)
    strange = shifts(residual(), images(3, 15, 3))
    assert strange["0"].stride == (1, 1)
    assert strange["3.conv2"].stride == strange["3.downsample.0"].stride == (2, 2)
    assert strange["6"].stride is None


def test_results_do_not_depend_on_how_many_go_at_once(monkeypatch):
    torch.manual_seed(0)  # of some weights every unit is dead
    model = nn.Sequential(circular(1, 2), nn.ReLU(), nn.MaxPool2d(2))
    whole = shifts(model, images(7, 8))
    monkeypatch.setattr("striate.inspection.invariances.layers.BATCH", 3)
    for name, row in shifts(model, images(7, 8)).items():
        assert row.invariance == pytest.approx(whole[name].invariance, rel=1e-5)
        assert row.equivariance == pytest.approx(whole[name].equivariance, rel=1e-4, abs=1e-5)


def test_a_layer_that_is_always_0_is_at_no_distance():
    model = nn.Sequential(circular(1, 2), nn.ReLU())
    nn.init.constant_(model[0].bias, -100)
    dead = shifts(model, images(4, 8))["1"]
    assert (dead.equivariance, dead.invariance, dead.reached) == (None, None, 0)


def test_no_hook_stays():
    model = nn.Sequential(circular(1, 2), nn.ReLU())
    shifts(model, images(4, 8))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert np.all([parameter.grad is None for parameter in model.parameters()])
