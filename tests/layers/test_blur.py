"""Blurred downsampling against NumPy, its laws, its refusals, and the shift consistency it is for."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.blur import blur_pool2d
from strategies import Window, images, quick, windows
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.layers import FILTERS, BlurPool2d, BlurredConv2d, MaxBlurPool2d, MaxPool2d

filters = st.sampled_from(sorted(FILTERS))
sides = st.integers(1, 9)
steps = st.tuples(st.integers(1, 4), st.integers(1, 4))


@quick
@given(st.data(), filters, sides, sides, steps)
def test_agrees_with_the_definition(data, name, height, width, stride):
    x = data.draw(images(2, 3, height, width))
    blurred = BlurPool2d(3, name, stride).double()(x)
    expected = blur_pool2d(x.numpy(), FILTERS[name], stride)
    assert blurred.shape == (2, 3, -(-height // stride[0]), -(-width // stride[1]))
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_the_papers(name):
    """Section 3.1: outer products of binomial rows, normalised; an impulse gives them back."""
    x = torch.zeros(1, 1, 15, 15)
    x[0, 0, 7, 7] = 1
    row = np.poly1d([1, 1]) ** (len(FILTERS[name]) - 1)
    blur = BlurPool2d(1, name, stride=2)
    everywhere = sum(blur(x.roll((-i, -j), (2, 3))).sum() for i in range(2) for j in range(2))
    assert everywhere == pytest.approx(1)
    np.testing.assert_allclose(blur.taps[0, 0], np.outer(row, row) / np.outer(row, row).sum(), rtol=1e-6)


@quick
@given(filters, sides, sides, steps)
def test_constant_maps_stay(name, height, width, stride):
    x = torch.full((1, 2, height, width), -3.25)
    blurred = BlurPool2d(2, name, stride)(x)
    torch.testing.assert_close(blurred, torch.full_like(blurred, -3.25))


@quick
@given(st.data(), windows(), filters)
def test_max_blur_pooling_has_the_shape_of_max_pooling(data, window: Window, name):
    x = data.draw(images(1, 2, *window.image))
    blurred = MaxBlurPool2d(2, window.kernel, window.stride, window.padding, name).double()(x)
    assert blurred.shape == MaxPool2d(window.kernel, window.stride, window.padding)(x).shape
    dense = MaxPool2d(window.kernel, 1, window.padding)(x)
    expected = blur_pool2d(dense.numpy(), FILTERS[name], window.stride)
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@quick
@given(st.data(), filters, st.integers(1, 4), st.integers(0, 2), st.integers(1, 2), st.integers(1, 3))
def test_blurred_convolution_is_the_one_without_stride_and_a_blur(data, name, kernel, padding, dilation, stride):
    conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups=2).double()
    x = data.draw(images(2, 4, 11, 8))
    blurred = BlurredConv2d(copy.deepcopy(conv), name)
    assert blurred(x).shape == conv(x).shape
    dense = nn.functional.conv2d(x, conv.weight, conv.bias, 1, padding, dilation, 2).detach().numpy()
    expected = blur_pool2d(dense, FILTERS[name], (stride, stride))
    np.testing.assert_allclose(blurred(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bias", [True, False])
def test_weights_load_both_ways(bias):
    conv = nn.Conv2d(2, 3, 3, stride=2, bias=bias)
    blurred = BlurredConv2d(nn.Conv2d(2, 3, 3, stride=2, bias=bias))
    blurred.load_state_dict(conv.state_dict())
    conv.load_state_dict(blurred.state_dict())
    assert [name for name, _ in blurred.named_parameters()] == [name for name, _ in conv.named_parameters()]
    assert torch.equal(blurred.weight, conv.weight)


@pytest.mark.parametrize("name", FILTERS)
def test_blurring_makes_max_pooling_less_dependent_on_the_position(name):
    """The share of an image's energy that a circular shift by one pixel changes falls, and more so with more taps."""
    x = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def change(pool: nn.Module) -> float:
        wrapped = nn.functional.pad(x, (8, 8, 8, 8), mode="circular")  # so that no edge takes part
        here, there = (pool(wrapped.roll(by, 3))[..., 4:-4, 4:-4] for by in (0, 1))
        moved = torch.fft.ifft2(torch.fft.fft2(here) * _half_cell(here)).real
        return float((there - moved).square().mean() / (here - here.mean()).square().mean())

    shorter = {"rect-2": MaxPool2d(2), "tri-3": "rect-2", "tri-4": "tri-3", "bin-5": "tri-4"}[name]
    other = MaxBlurPool2d(1, 2, filter=shorter) if isinstance(shorter, str) else shorter
    assert change(MaxBlurPool2d(1, 2, filter=name)) < 0.9 * change(other)


def _half_cell(x: torch.Tensor) -> torch.Tensor:
    """The factors that move a periodic map by half a cell to the right."""
    return torch.exp(-1j * torch.pi * torch.fft.fftfreq(x.shape[-1]))


def test_refusals():
    with pytest.raises(ArgumentError, match=r"unknown filter 'tri-5'\. Did you mean 'tri-"):
        BlurPool2d(3, "tri-5")
    with pytest.raises(ArgumentError, match="channels must be an integer of at least 1, received 0"):
        BlurPool2d(0)
    with pytest.raises(ArgumentError, match="stride must be"):
        BlurPool2d(3, stride=0)
    with pytest.raises(ShapeError, match="BlurPool2d takes 3 channels, received 4"):
        BlurPool2d(3)(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ShapeError, match="a window of 3 cells does not fit an axis of 2"):
        MaxBlurPool2d(1, 3, stride=2)(torch.zeros(1, 1, 2, 5))
