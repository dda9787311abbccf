"""Layers that act on each pixel's channels, against loops over pixels; layer scale; and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import images, quick
from torch import nn

from striate import seeding
from striate.errors import ArgumentError, ShapeError
from striate.layers import LayerNorm2d, PixelLinear, ScaledResidual


def some(layer):
    """The layer in float64 with weights none of which is special."""
    for number, parameter in enumerate(layer.double().parameters()):
        parameter.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(number))
    return layer.requires_grad_(False)


def pixel_by_pixel(x, function):
    made = [[[function(image[:, i, j]) for j in range(x.shape[3])] for i in range(x.shape[2])] for image in x.numpy()]
    return np.moveaxis(np.array(made), -1, 1)


@quick
@given(st.data(), st.integers(1, 5), st.integers(1, 5))
def test_layer_norm_is_each_pixels_own(data, height, width):
    layer, x = some(LayerNorm2d(3, eps=1e-3)), data.draw(images(2, 3, height, width))

    def normed(channels):
        scaled = (channels - channels.mean()) / np.sqrt(channels.var() + 1e-3)
        return scaled * layer.weight.numpy() + layer.bias.numpy()

    np.testing.assert_allclose(layer(x).numpy(), pixel_by_pixel(x, normed), rtol=1e-9, atol=1e-9)


@quick
@given(st.data(), st.integers(1, 5), st.integers(1, 5))
def test_a_dense_layer_is_applied_to_each_pixel(data, height, width):
    layer, x = some(PixelLinear(3, 2)), data.draw(images(2, 3, height, width))
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    expected = pixel_by_pixel(x, lambda channels: weight @ channels + bias)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-9, atol=1e-9)


def test_a_state_of_pytorchs_layers_loads():
    for ours, theirs in ((PixelLinear(3, 2), nn.Linear(3, 2)), (LayerNorm2d(3), nn.LayerNorm(3, eps=1e-6))):
        nn.init.normal_(theirs.weight)
        ours.load_state_dict(theirs.state_dict())
        x = torch.tensor([0.5, -2.0, 3.0]).reshape(1, 3, 1, 1)
        torch.testing.assert_close(ours(x).flatten(), theirs(x.flatten()))


def test_layer_scale_scales_the_branch_alone_and_channel_by_channel():
    layer = ScaledResidual(nn.Hardtanh(0, 1), 2, initial=0.25)
    x = torch.tensor([[[[2.0, -1.0]], [[0.5, 3.0]]]])
    layer.layer_scale.data[1] = 10
    torch.testing.assert_close(layer(x).detach(), torch.tensor([[[[2.25, -1.0]], [[5.5, 13.0]]]]))
    assert ScaledResidual(nn.ReLU(), 3).layer_scale.tolist() == [[[pytest.approx(1e-6)]]] * 3


def test_a_scaled_branch_is_left_out_in_training():
    layer, x = ScaledResidual(nn.ReLU(), 2, initial=1.0, drop_rate=0.5), torch.ones(64, 2, 1, 1)
    with seeding.scoped(0, "test"):
        values = layer(x)
    assert set(values.flatten().tolist()) == {1.0, 3.0}
    assert (layer.eval()(x) == 2).all()


def test_refusals():
    with pytest.raises(ShapeError, match="LayerNorm2d takes 3 channels, received 2"):
        LayerNorm2d(3)(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ShapeError, match="PixelLinear takes 3 channels, received 2"):
        PixelLinear(3, 4)(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ShapeError, match=r"the block makes \(1, 2, 2, 2\) of \(1, 2, 4, 4\), which can't be added"):
        ScaledResidual(nn.MaxPool2d(2), 2)(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ArgumentError, match="channels must be an integer of at least 1"):
        ScaledResidual(nn.ReLU(), 0)
