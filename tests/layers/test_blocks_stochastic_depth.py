"""Stochastic depth: whole samples are left out, the mean stays, and the default generator decides."""

import pytest
import torch

from striate import seeding
from striate.errors import ArgumentError
from striate.layers import StochasticDepth


def drawn(layer, x, seed=0):
    with seeding.scoped(seed, "test"):
        return layer(x)


def test_samples_are_left_out_whole_and_the_others_grow():
    x = torch.rand(4000, 2, 3, generator=torch.Generator().manual_seed(0)) + 1
    made = drawn(StochasticDepth(0.2), x)
    kept = made[:, 0, 0] != 0
    torch.testing.assert_close(made[kept], x[kept] / 0.8)
    assert not made[~kept].any()
    assert kept.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert made.mean().item() == pytest.approx(x.mean().item(), rel=0.02)


def test_the_seed_decides():
    x = torch.ones(64, 1)
    layer = StochasticDepth(0.5)
    assert torch.equal(drawn(layer, x), drawn(layer, x))
    assert not torch.equal(drawn(layer, x), drawn(layer, x, seed=1))


def test_in_evaluation_mode_and_without_a_rate_nothing_happens():
    x = torch.ones(64, 1)
    assert StochasticDepth(0.5).eval()(x) is x
    assert StochasticDepth(0)(x) is x


def test_gradients_follow_the_samples_that_are_kept():
    x = torch.ones(64, 2, requires_grad=True)
    made = drawn(StochasticDepth(0.5), x)
    made.sum().backward()
    assert torch.equal(x.grad, made.detach())


@pytest.mark.parametrize("p", [-0.1, 1, float("nan")])
def test_refusals(p):
    with pytest.raises(ArgumentError, match=r"the probability of leaving a branch out lies in \[0, 1\)"):
        StochasticDepth(p)
