"""The inverted residual block: its parts in functional PyTorch, and when there is a sum."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate import seeding
from striate.layers import InvertedResidual, SqueezeExcitation

X = torch.randn(3, 4, 7, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("expanded", "outputs", "stride"), [(8, 4, 1), (4, 4, 1), (8, 6, 1), (8, 4, 2)])
@pytest.mark.parametrize("squeezes", [False, True])
@torch.no_grad()
def test_a_block_is_its_parts(expanded, outputs, stride, squeezes):
    squeeze = SqueezeExcitation(expanded, 2) if squeezes else None
    layer = InvertedResidual(4, expanded, outputs, 5, stride, nn.SiLU, squeeze, nn.Identity)
    parts = list(layer.block)
    y = X
    if expanded > 4:
        y = F.silu(F.conv2d(y, parts.pop(0)[0].weight))
    y = F.silu(F.conv2d(y, parts.pop(0)[0].weight, stride=stride, padding=2, groups=expanded))
    y = parts.pop(0)(y) if squeezes else y
    y = F.conv2d(y, parts.pop(0)[0].weight)
    torch.testing.assert_close(layer(X), y + X if stride == 1 and outputs == 4 else y)
    assert not parts


def test_normalisation_follows_every_convolution():
    layer = InvertedResidual(4, 8, 4, 3, norm=lambda channels: nn.BatchNorm2d(channels, eps=0.5))
    assert [[type(part).__name__ for part in unit] for unit in layer.block] == [
        ["Conv2d", "BatchNorm2d", "ReLU6"], ["Conv2d", "BatchNorm2d", "ReLU6"], ["Conv2d", "BatchNorm2d"]
    ]  # fmt: skip
    assert [unit[1].num_features for unit in layer.block] == [8, 8, 4]
    assert all(unit[1].eps == 0.5 for unit in layer.block)


def test_a_branch_that_is_left_out_leaves_the_input():
    layer = InvertedResidual(4, 8, 4, 3, norm=nn.Identity, drop_rate=0.999)
    with seeding.scoped(0, "test"):
        assert torch.equal(layer(X), X)
    assert not torch.equal(layer.eval()(X), X)
    assert InvertedResidual(4, 8, 6, 3, drop_rate=0.5).stochastic_depth is None
