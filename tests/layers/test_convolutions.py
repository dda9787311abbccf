"""Convolution with "same" padding against NumPy loops, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.convolution import same_conv2d
from strategies import images, quick
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.layers import SameConv2d

sides = st.integers(1, 7)


@pytest.mark.slow
@quick
@given(st.data(), sides, sides, st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 2, 4]))
def test_agrees_with_the_definition(data, height, width, kernel, stride, groups):
    conv = SameConv2d(4, 4, kernel, stride, groups).double()
    conv.weight.data = data.draw(images(4, 4 // groups, kernel, kernel))
    x = data.draw(images(2, 4, height, width))
    expected = same_conv2d(
        x.numpy(), conv.weight.detach().numpy(), conv.bias.detach().numpy(), (stride, stride), groups
    )
    np.testing.assert_allclose(conv(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_at_a_stride_of_1_it_is_pytorchs_same(kernel):
    ours, theirs = SameConv2d(2, 3, kernel), nn.Conv2d(2, 3, kernel, padding="same")
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x))


def test_refusals():
    with pytest.raises(ArgumentError, match="stride must be an integer of at least 1"):
        SameConv2d(3, 4, 3, stride=0)
    with pytest.raises(ArgumentError, match="groups must be an integer of at least 1"):
        SameConv2d(3, 4, 3, groups=0)
    with pytest.raises(ShapeError, match="SameConv2d takes 3 channels, received 2"):
        SameConv2d(3, 4, 3)(torch.zeros(1, 2, 5, 5))
