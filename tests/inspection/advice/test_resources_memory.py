"""The memory of a step: counted by hand, and measured where PyTorch keeps it."""

import pytest
import torch
from looked_at import finding, findings
from torch import nn

from striate.inspection import advise
from striate.inspection.advice import resources
from striate.training import Recipe

SHAPE = (1, 8, 8)
# of the image what the convolution keeps, of its output what the ReLU keeps and the dense layer shares
EACH = 4 * 64 + 4 * 6 * 64
PARAMETERS = 6 * 9 + 6 + 6 * 64 * 5 + 5


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 64, 5))


@pytest.mark.parametrize(("optimizer", "copies"), [("sgd", 3), ("adamw", 4)])
def test_parameters_gradients_moments_and_maps(optimizer: str, copies: int) -> None:
    recipe = Recipe(optimizer=optimizer, batch_size=10)
    advice = advise(network(), input_shape=SHAPE, recipe=recipe, rules=["memory"], device="cpu")
    assert advice.memory == 4 * PARAMETERS * copies + 10 * EACH
    assert advice.passed == ("memory",)


def test_a_batch_beyond_the_machine_is_found_with_one_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = 3 * 4 * PARAMETERS
    monkeypatch.setattr(resources, "machine_memory", lambda device: fixed + 5 * EACH + 1)
    found = finding("memory", network(), SHAPE)  # with a batch of 8
    assert found.numbers == {
        "needed": fixed + 8 * EACH,
        "there": fixed + 5 * EACH + 1,
        "fixed": fixed,
        "each_image": EACH,
        "most_images": 5,
    }
    assert "batches of 4, which fit" in found.change
    monkeypatch.setattr(resources, "machine_memory", lambda device: fixed + 8 * EACH)
    assert findings("memory", network(), SHAPE) == []
    monkeypatch.setattr(resources, "machine_memory", lambda device: fixed)
    assert finding("memory", network(), SHAPE).change == "Use a smaller network."


def test_measuring_teaches_the_network_nothing() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 36, 5)
    ).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    advise(model, input_shape=SHAPE, device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
