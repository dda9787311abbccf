"""Whitened: what comes out is uncorrelated and of unit variance; the strongest directions come first."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from striate.errors import ArgumentError, ShapeError
from striate.layers import WhiteningConv2d
from striate.layers.normalization import EPSILON


def pictures(count=40, channels=2, side=12):
    """Smooth noise: neighbours and channels are alike."""
    noise = np.random.default_rng(0).normal(size=(count, channels, side + 2, side + 2))
    smooth = sliding_window_view(noise, (3, 3), axis=(2, 3)).mean((4, 5)) * 3
    return torch.from_numpy(smooth + 0.3 * smooth.mean(1, keepdims=True)).float()


def covariance(images, size):
    """Of all patches, the border being zeros; by NumPy."""
    padded = np.pad(images.double().numpy(), ((0, 0), (0, 0), *[(size // 2,) * 2] * 2))
    windows = sliding_window_view(padded, (size, size), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    patches = windows.reshape(-1, images.shape[1] * size**2)
    return patches.T @ patches / len(patches)


@pytest.mark.parametrize("directions", [None, 5])
def test_outputs_are_uncorrelated_and_of_equal_variance(directions):
    images = pictures()
    layer = WhiteningConv2d(2, 3, directions, bias=True)
    layer.fit(images)
    outputs = layer(images).detach() - layer.bias.detach()[:, None, None]
    kept = outputs.shape[1] // 2
    assert kept == (directions or 18)
    torch.testing.assert_close(outputs[:, kept:], -outputs[:, :kept])
    rows = outputs[:, :kept].transpose(0, 1).flatten(1).double()
    variances = np.linalg.eigvalsh(covariance(images, 3))[::-1][:kept]
    expected = torch.diag(torch.from_numpy(variances / (variances + EPSILON)))
    torch.testing.assert_close(rows @ rows.T / rows.shape[1], expected, rtol=0, atol=1e-4)
    assert (expected.diag() > 0.95).all()


def test_without_images_it_whitens_the_model_of_a_picture():
    layer = WhiteningConv2d(3, 3)
    filters = layer.weight[:27].flatten(1).double()
    y, x = np.mgrid[:3, :3].reshape(2, -1)
    space = 0.9 ** (abs(y[:, None] - y) + abs(x[:, None] - x))
    colours = np.where(np.eye(3), 1, 0.9)
    model = np.kron(colours, space)
    variances = np.linalg.eigvalsh(model)[::-1].copy()
    expected = torch.diag(torch.from_numpy(variances / (variances + EPSILON)))
    torch.testing.assert_close(filters @ torch.from_numpy(model) @ filters.T, expected, rtol=0, atol=1e-4)
    assert (layer.weight[0] > 0).all() or (layer.weight[0] < 0).all(), "the mean varies most"


@pytest.mark.parametrize(("bias", "learned"), [(False, []), (True, ["bias"])])
def test_only_a_bias_is_learned(bias, learned):
    layer = WhiteningConv2d(1, bias=bias)
    assert [name for name, each in layer.named_parameters() if each.requires_grad] == learned
    assert len(list(layer.parameters())) == 1 + bias


def test_many_images_are_summed_in_parts(monkeypatch):
    images = pictures()
    whole, parts = WhiteningConv2d(2), WhiteningConv2d(2)
    whole.fit(images)
    monkeypatch.setattr("striate.layers.normalization.CHUNK", 7 * 2 * 12 * 12 * 9)
    parts.fit(images)
    size = slice(18)
    torch.testing.assert_close(parts.weight[size].abs(), whole.weight[size].abs(), rtol=1e-4, atol=1e-5)


def test_flat_images_give_finite_filters():
    layer = WhiteningConv2d(1)
    layer.fit(torch.zeros(2, 1, 5, 5))
    assert torch.isfinite(layer.weight).all()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0,), "in_channels"),
        ((1, 4), "kernel_size"),
        ((1, 0), "kernel_size"),
        ((1, 3, 10), "at most 9"),
        ((1, 3, 0), "dir"),
    ],
)
def test_arguments_out_of_range(arguments, named):
    with pytest.raises(ArgumentError, match=named):
        WhiteningConv2d(*arguments)


@pytest.mark.parametrize("shape", [(2, 1, 5, 5), (2, 5, 5), (0, 2, 5, 5)])
def test_images_of_another_shape(shape):
    with pytest.raises(ShapeError, match=r"expected images \(N, 2, H, W\)"):
        WhiteningConv2d(2).fit(torch.zeros(shape))
