"""Squeeze-and-excitation against NumPy, what it does to channels, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.squeeze import squeeze_excitation
from strategies import images, quick
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.layers import SqueezeExcitation

FUNCTIONS = {
    nn.ReLU: lambda x: np.maximum(x, 0),
    nn.SiLU: lambda x: x / (1 + np.exp(-x)),
    nn.Sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    nn.Hardsigmoid: lambda x: np.clip(x / 6 + 0.5, 0, 1),
}


def made(activation=nn.ReLU, gate=nn.Sigmoid):
    layer = SqueezeExcitation(3, 2, activation, gate).double()
    for number, parameter in enumerate(layer.parameters()):
        parameter.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(number))
    return layer.requires_grad_(False)


@quick
@given(
    st.data(),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([nn.ReLU, nn.SiLU]),
    st.sampled_from([nn.Sigmoid, nn.Hardsigmoid]),
)
def test_agrees_with_the_definition(data, height, width, activation, gate):
    layer, x = made(activation, gate), data.draw(images(2, 3, height, width))
    dense = [(conv.weight[:, :, 0, 0].numpy(), conv.bias.numpy()) for conv in (layer.fc1, layer.fc2)]
    expected = squeeze_excitation(x.numpy(), *dense, FUNCTIONS[activation], FUNCTIONS[gate])
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-9, atol=1e-9)


@quick
@given(st.data())
def test_a_channel_is_scaled_as_a_whole_and_never_grows(data):
    x = data.draw(images(1, 3, 3, 4)) + 0.5  # none is 0
    scale = (made()(x) / x).flatten(2)
    torch.testing.assert_close(scale, scale[..., :1].expand_as(scale))
    assert ((scale > 0) & (scale < 1)).all()


def test_refusals():
    with pytest.raises(ArgumentError, match="squeezed must be an integer of at least 1"):
        SqueezeExcitation(3, 0)
    with pytest.raises(ShapeError, match="SqueezeExcitation takes 3 channels, received 2"):
        SqueezeExcitation(3, 1)(torch.zeros(1, 2, 4, 4))
