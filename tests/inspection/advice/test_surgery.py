"""Changing networks: what is replaced everywhere, and what can't be done."""

import pytest
import torch
from torch import Tensor, nn

from striate import layers
from striate.errors import ArgumentError
from striate.inspection.advice.surgery import changed, dry_run, put, redrawn, refit, swapping

SHAPE = (1, 6, 6)


class Shared(nn.Module):
    """One activation under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()
        self.again = nn.ModuleDict({"act": self.act})
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again["act"](self.act(self.conv(x))))


def test_a_module_gives_way_under_all_its_names() -> None:
    model = Shared()
    new = changed(model, swapping(["act"], nn.Tanh()), SHAPE)
    assert new.act is new.again["act"]
    assert isinstance(new.act, nn.Tanh)
    assert isinstance(model.act, nn.ReLU)


def test_every_layer_fits_what_it_receives() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.PReLU(4), nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8),
        nn.Flatten(), nn.Linear(8 * 4, 3), nn.PReLU(),
    )  # fmt: skip
    new = changed(model, lambda network, shape: refit(network, shape, {"0": 3}), SHAPE)
    assert [p.shape[0] for p in new.parameters()] == [12, 12, 12, 12, 12, 24, 24, 24, 24, 3, 3, 1]
    assert new[3].groups == 12
    assert (new[6].weight.shape, new[6].in_features) == ((3, 96), 96)
    assert torch.allclose(new[0].bias, model[0].bias.mean().expand(12))
    assert float(new[2].weight.detach().mean()) == 0.25
    assert new.train()(torch.randn(2, *SHAPE)).shape == (2, 3)


def test_weights_are_drawn_as_widely_for_as_many_inputs() -> None:
    old = torch.randn(100, 400) * 0.3
    new = redrawn(old, (200, 100), (400, 100)).detach()
    assert float(new.std()) == pytest.approx(0.6, rel=0.05)
    assert redrawn(torch.zeros(3, 4), (3, 2), (4, 2)).detach().abs().sum() == 0
    assert redrawn(torch.ones(1, 1), (2, 1), (1, 1)).detach().abs().sum() == 0


def test_what_is_frozen_or_not_in_training_stays_so() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), layers.BlurPool2d(4), nn.Conv2d(4, 3, 1), nn.Flatten()).eval()
    model[3].requires_grad_(False)
    new = changed(model, lambda network, shape: refit(network, shape, {"0": 2}), SHAPE)
    assert [p.requires_grad for p in new.parameters()] == [True, True, False, False]
    assert (new[2].channels, new[3].in_channels) == (8, 8)
    assert not changed(model, swapping(["1"], nn.Tanh()), SHAPE)[1].training


@pytest.mark.parametrize(
    ("surgery", "why"),
    [
        (lambda model, shape: refit(model, shape, {"4": 2}), "its output would have another shape"),
        (lambda model, shape: put(model, "nowhere", nn.ReLU()), "nowhere"),
        (lambda model, shape: put(model, "", nn.ReLU()), "a single layer"),
        (lambda model, shape: put(model, "1", nn.LayerNorm(5)), "normalized_shape"),
    ],
)
def test_what_no_longer_works_is_refused(surgery, why: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Flatten()
    )
    with pytest.raises(ArgumentError, match="Sequential can't be changed so") as error:
        changed(model, surgery, SHAPE)
    assert why in str(error.value)


def test_a_rehearsal_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout()).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert dry_run(model, SHAPE, 5).shape == (5, 2, 4, 4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
