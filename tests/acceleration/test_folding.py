"""Frozen normalisations folded into convolutions give the outputs and gradients of the network as it is written."""

import pytest
import torch
from disturbed import disturb_norms
from torch import nn

import striate
from striate.acceleration.folding import FoldedNorms, pairs
from striate.models import freeze_norms, frozen_norms


def disturbed(name, size):
    """A network in training with frozen normalisations that do something."""
    model = disturb_norms(striate.create(name, 5, 3, size, seed=0))
    freeze_norms(model)
    model.train()
    for module in (*frozen_norms(model), *(each for each in model.modules() if isinstance(each, nn.Dropout))):
        module.eval()
    return model.double()


def outcome(model, x):
    model.zero_grad()
    logits = model(x)
    logits.tanh().sum().backward()
    return logits.detach(), {name: each.grad.clone() for name, each in model.named_parameters() if each.requires_grad}


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [("efficientnet_lite0:stem=small", 17, 49), ("resnet18", 32, 20), ("seresnet50:stem=small", 17, 53)],
)
def test_a_network_gives_the_same_outputs_and_gradients(name, size, count):
    model = disturbed(name, size)
    for module in model.modules():
        if isinstance(module, striate.layers.StochasticDepth):
            module.eval()
    before = {key: each.clone() for key, each in model.state_dict().items()}
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    expected = outcome(model, x)
    folded = FoldedNorms(model, frozen_norms(model))
    assert len(folded._pairs) == count
    for _ in range(2):  # it can be entered again
        model.zero_grad()
        with folded:
            logits = model(x)
        logits.tanh().sum().backward()
        torch.testing.assert_close(logits.detach(), expected[0])
        found = {name: each.grad for name, each in model.named_parameters() if each.requires_grad}
        assert found.keys() == expected[1].keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, expected[1][name], msg=name)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    torch.testing.assert_close(outcome(model, x), expected, rtol=0, atol=0)


def test_what_a_convolution_gives_to_others_too_is_left_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x):
            made = self.conv(x)
            return self.norm(made) + made

    model = Shared()
    freeze_norms(model)
    assert not pairs(model, frozen_norms(model))


def test_what_is_called_twice_has_hooks_or_depends_on_the_images_is_left_alone():
    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    class Asking(nn.Sequential):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    plain, twice, asking, hooked = (
        kind(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)) for kind in (nn.Sequential, Twice, Asking, nn.Sequential)
    )
    hooked[0].register_forward_hook(lambda *given: None)
    found = []
    for model in (plain, twice, asking, hooked):
        freeze_norms(model)
        found.append(len(pairs(model, frozen_norms(model))))
    assert found == [1, 0, 0, 0]
    assert not pairs(plain, [])
