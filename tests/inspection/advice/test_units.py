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


def network(activation: nn.Module, units: int = 20) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 10, 3), activation, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(90, units), nn.ReLU(),
            nn.Linear(units, 5),
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
    assert changed[1].negative_slope == 0.01
    assert changed[1] is not changed[5]
    assert torch.equal(changed[0].weight, model[0].weight)
    assert findings("dead-units", changed, SHAPE, IMAGES) == []


def test_few_dead_units_are_left_alone() -> None:
    assert findings("dead-units", silenced(network(nn.ReLU()), 0, 0), SHAPE, IMAGES) == []
    assert findings("dead-units", silenced(network(nn.Tanh()), 10, 0), SHAPE, IMAGES) == []
    assert findings("dead-units", silenced(network(nn.ReLU(), units=21), 0, 1), SHAPE, IMAGES) == []
    found = finding("dead-units", silenced(network(nn.ReLU(), units=20), 0, 1), SHAPE, IMAGES)
    assert found.layers == ("5",)
    assert found.found == "1 of 20 units (5.0 %) are 0 on all 120 images; 1 of 30 in the whole network."


def test_the_whole_network_has_those_of_the_layers_that_pass_too() -> None:
    found = finding("dead-units", silenced(network(nn.ReLU(), units=21), 3, 1), SHAPE, IMAGES)
    assert found.found == "3 of 10 units (30 %) are 0 on all 120 images; 4 of 31 in the whole network."


def test_a_unit_that_one_place_of_one_image_wakes_is_alive() -> None:
    images = torch.zeros_like(IMAGES)
    images[3, 4, 4] = 255
    model = network(nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.fill_(-0.5)
        model[4].bias.fill_(100)
    assert findings("dead-units", model, SHAPE, images) == []
    assert finding("dead-units", model, SHAPE, torch.zeros_like(images)).numbers["dead"] == 10


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.Hardtanh()])
def test_what_is_0_and_no_relu_is_not_dead(activation: nn.Module) -> None:
    model = silenced(network(activation), 0, 0)
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    assert findings("dead-units", model, SHAPE, IMAGES) == []


def test_a_module_of_another_kind_is_seen_and_not_swapped() -> None:
    class Mine(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x)

    found = finding("dead-units", silenced(network(Mine()), 3, 0), SHAPE, IMAGES)
    assert found.layers == ("1",)
    assert found.surgery is None
    assert found.manual == "1 is a Mine that computes it inside"


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


def saturating(*flat: int) -> nn.Sequential:
    """For each number a tanh over 50 maps, of which so many are saturated everywhere and the others 0."""
    parts: list[nn.Module] = []
    for before, count in zip((1, 50), flat, strict=False):
        conv = nn.Conv2d(before, 50, 1)
        with torch.no_grad():
            conv.weight.zero_()
            conv.bias.copy_(10.0 * (torch.arange(50) < count))
        parts += [conv, nn.Tanh()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(50 * 64, 5))


def test_more_than_half_of_the_values_is_too_much() -> None:
    assert findings("saturated-activation", saturating(25), SHAPE, IMAGES) == []
    found = finding("saturated-activation", saturating(26), SHAPE, IMAGES)
    assert found.found.startswith("52 % of the values lie beyond 0.97 of the tanh's range: there")
    found = finding("saturated-activation", saturating(30, 40), SHAPE, IMAGES)
    assert found.layers == ("1", "3")
    assert found.found.startswith("70 % of the values lie beyond 0.97 of the tanh's range, 80 % behind 3: there")


def test_a_hundred_images_are_enough() -> None:
    assert findings("dead-units", silenced(network(nn.ReLU()), 0, 0), SHAPE, IMAGES[:100]) == []
    advice = advise(network(nn.ReLU()), IMAGES[:99], input_shape=SHAPE, rules=["dead-units"], device="cpu")
    assert advice.skipped["dead-units"] == "99 images are too few, pass 100 or more"


def test_without_enough_images_nothing_is_said() -> None:
    for images, why in ((None, "it needs a trained network and images"), (IMAGES[:9], "9 images are too few")):
        advice = advise(network(nn.ReLU()), images, input_shape=SHAPE, rules=["dead-units"], device="cpu")
        assert why in advice.skipped["dead-units"]
        assert not advice.findings
