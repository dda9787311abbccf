"""Dead units and saturated activations, planted and counted again in NumPy."""

import numpy as np
import pytest
import torch
from looked_at import finding, findings
from torch import Tensor, nn
from torch.nn import functional as F

from striate import layers
from striate.inspection import advise

IMAGES = torch.randint(0, 256, (120, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SHAPE = (1, 8, 8)


def network(activation: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 10, 3), activation, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(90, 20), nn.ReLU(),
            nn.Linear(20, 5),
        )  # fmt: skip


def silenced(model: nn.Sequential, maps: int, units: int) -> nn.Sequential:
    """The same with so many of its maps and units always below 0, and the others sometimes above."""
    with torch.no_grad():
        for layer, count, lift in ((model[0], maps, 5), (model[4], units, 100)):
            layer.bias.fill_(lift)
            layer.bias[:count] = -1000
    return model


@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()])
def test_dead_units_are_those_planted(relu: nn.Module) -> None:
    model = silenced(network(relu), 3, 2)
    found = finding("dead-units", model, SHAPE, IMAGES)
    assert found.layers == ("1", "5")
    assert found.numbers == {"dead": 5, "units": 30, "share": 5 / 30, "images": 120}
    assert "5 of 30 units (17 %) are 0 on all 120 images, most of them behind 1: 3 of 10" in found.found
    changed = found.apply(model, SHAPE)
    assert isinstance(changed[1], nn.LeakyReLU)
    assert torch.equal(changed[0].weight, model[0].weight)
    assert findings("dead-units", changed, SHAPE, IMAGES) == []


def test_few_dead_units_are_left_alone() -> None:
    assert findings("dead-units", silenced(network(nn.ReLU()), 0, 0), SHAPE, IMAGES) == []
    assert findings("dead-units", silenced(network(nn.Tanh()), 10, 0), SHAPE, IMAGES) == []


class Functional(nn.Module):
    """Activations that are functions, and one layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.twice, self.out = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4 * 36, 5)
        nn.init.constant_(self.conv.bias, 5)
        nn.init.constant_(self.twice.bias, -1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x))
        return self.out(torch.tanh(F.relu(self.twice(x))).flatten(1))


def test_functions_are_seen_too_and_not_swapped() -> None:
    found = finding("dead-units", Functional(), SHAPE, IMAGES)
    assert found.layers == ("twice",)
    assert found.numbers["dead"] == 4
    assert found.surgery is None
    assert "behind twice it is a function" in found.manual


@pytest.mark.parametrize(
    ("activation", "squash"),
    [
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), lambda x: np.tanh(x / 2)),
        (layers.ScaledTanh(), lambda x: np.tanh(2 / 3 * x)),
    ],
)
def test_saturation_is_that_of_numpy(activation: nn.Module, squash) -> None:
    model = network(activation)
    with torch.no_grad():
        model[0].weight.mul_(30)
        taken = model[0](IMAGES.permute(0, 3, 1, 2) / 255).numpy()
    share = float((np.abs(squash(taken.astype(np.float64))) > 0.97).mean())
    found = finding("saturated-activation", model, SHAPE, IMAGES)
    assert found.layers == ("1",)
    assert found.numbers["share"] == pytest.approx(share, abs=1e-4)
    assert 0.5 < share < 0.99
    assert isinstance(found.apply(model, SHAPE)[1], nn.ReLU)
    assert findings("saturated-activation", network(activation), SHAPE, IMAGES) == []


def test_without_enough_images_nothing_is_said() -> None:
    for images, why in ((None, "it takes a trained network and images"), (IMAGES[:9], "9 images tell too little")):
        advice = advise(network(nn.ReLU()), images, input_shape=SHAPE, rules=["dead-units"], device="cpu")
        assert why in advice.skipped["dead-units"]
        assert not advice.findings
