"""Pooling across channels against NumPy loops, its laws and its refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.pooling import depthwise_pool2d, mean
from scipy.special import logsumexp
from strategies import channel_windows, images, quick

from striate.errors import ArgumentError, ShapeError
from striate.layers import AvgPool2d, DepthwiseAvgPool2d, DepthwiseMaxPool2d, MaxPool2d

both = pytest.mark.parametrize(("layer", "reduce"), [(DepthwiseMaxPool2d, max), (DepthwiseAvgPool2d, mean)])
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


@both
@quick
@given(st.data(), channel_windows())
def test_agrees_with_the_definition(layer, reduce, data, window):
    channels, kernel, stride, padding = window
    memory_format = data.draw(formats)
    x = data.draw(images(2, channels, 2, 3)).contiguous(memory_format=memory_format)
    pooled = layer(kernel, stride, padding)(x)
    expected = depthwise_pool2d(x.numpy(), reduce, kernel, stride, padding)
    assert pooled.shape == expected.shape
    assert pooled.is_contiguous(memory_format=memory_format)
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=1e-12, atol=1e-12)


@quick
@given(st.data(), channel_windows())
def test_is_spatial_pooling_of_the_channels_laid_out_as_rows(data, window):
    channels, kernel, stride, padding = window
    x = data.draw(images(1, channels, 2, 2))
    rows = x.flatten(2).unsqueeze(1)  # (1, 1, C, 4)
    for layer, spatial in ((DepthwiseMaxPool2d, MaxPool2d), (DepthwiseAvgPool2d, AvgPool2d)):
        expected = spatial((kernel, 1), (stride, 1), padding)(rows)
        torch.testing.assert_close(layer(kernel, stride, padding)(x).flatten(2).unsqueeze(1), expected)


@quick
@given(st.data(), st.integers(1, 4), st.integers(1, 3))
def test_order_within_a_group_does_not_matter(data, kernel, groups):
    x = data.draw(images(1, kernel * groups, 2, 2))
    order = [g * kernel + i for g in range(groups) for i in data.draw(st.permutations(range(kernel)))]
    for layer in (DepthwiseMaxPool2d, DepthwiseAvgPool2d):
        torch.testing.assert_close(layer(kernel)(x[:, order]), layer(kernel)(x))


@quick
@given(st.data(), channel_windows())
def test_average_lies_between_minimum_and_maximum(data, window):
    channels, *arguments = window
    x = data.draw(images(1, channels, 2, 2))
    average, largest = DepthwiseAvgPool2d(*arguments)(x), DepthwiseMaxPool2d(*arguments)(x)
    assert (-DepthwiseMaxPool2d(*arguments)(-x) <= average + 1e-12).all()
    assert (average <= largest + 1e-12).all()


def test_channels_that_tie_share_the_gradient():
    x = torch.zeros(1, 2, 1, 1, requires_grad=True)
    DepthwiseMaxPool2d(2)(x).sum().backward()
    assert x.grad.flatten().tolist() == [0.5, 0.5]


@quick
@given(st.data(), channel_windows(), st.floats(0.01, 5))
def test_the_smooth_maximum_is_scipy_s_log_sum_exp(data, window, temperature):
    channels, *arguments = window
    x = data.draw(images(1, channels, 2, 2))

    def log_sum_exp(values):
        return temperature * logsumexp(np.array(values) / temperature)

    smooth = DepthwiseMaxPool2d(*arguments, temperature=temperature)(x)
    np.testing.assert_allclose(
        smooth.numpy(), depthwise_pool2d(x.numpy(), log_sum_exp, *arguments), rtol=1e-9, atol=1e-9
    )
    excess = smooth - DepthwiseMaxPool2d(*arguments)(x)
    assert (excess >= -1e-9).all()
    assert (excess <= temperature * np.log(arguments[0]) + 1e-9).all()


def test_annealed_to_zero_it_is_the_maximum_and_so_is_its_gradient():
    start = torch.randn(2, 12, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pool, results = DepthwiseMaxPool2d(4, temperature=2.0), []
    for temperature in (2.0, 1e-4, 0.0):
        pool.temperature = temperature
        x = start.clone().requires_grad_()
        y = pool(x)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        results.append((y, gradient))
    warm, cold, none = results
    assert torch.equal(none[0], DepthwiseMaxPool2d(4)(start))
    assert none[1].count_nonzero() == none[0].numel(), "one channel a group"
    assert (warm[1] != 0).all(), "all channels"
    for value, limit in zip(cold, none, strict=True):
        torch.testing.assert_close(value, limit, rtol=0, atol=1e-3)


@pytest.mark.parametrize("layer", [DepthwiseMaxPool2d, DepthwiseAvgPool2d])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "named"),
    [(8, 3, None, "8 channels .* groups of 3 at a stride of 3"), (2, 3, 1, "2 channels .* groups of 3"),
     (9, 3, 4, "9 channels .* groups of 3 at a stride of 4")],
)  # fmt: skip
def test_valid_refuses_what_leaves_a_remainder(layer, channels, kernel, stride, named):
    with pytest.raises(ShapeError, match=named):
        layer(kernel, stride)(torch.zeros(1, channels, 2, 2))
    assert layer(kernel, stride, padding="same")(torch.zeros(1, channels, 2, 2)).shape[1] == -(
        -channels // (stride or kernel)
    )


@pytest.mark.parametrize("layer", [DepthwiseMaxPool2d, DepthwiseAvgPool2d])
def test_refusals(layer):
    with pytest.raises(ArgumentError, match="kernel_size must be an integer of at least 1, received 0"):
        layer(0)
    with pytest.raises(ShapeError, match=f"{layer.__name__} takes images"):
        layer(2)(torch.zeros(4, 2))
    with pytest.raises(ShapeError, match="at least 1 channel"):
        layer(2, padding="same")(torch.zeros(1, 0, 2, 2))
    assert repr(layer(2)) == f"{layer.__name__}(kernel_size=2, stride=2, padding='valid')"
    for temperature in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ArgumentError, match="temperature must be a number of at least 0"):
            DepthwiseMaxPool2d(2, temperature=temperature)
    assert repr(DepthwiseMaxPool2d(2, temperature=0.5)).endswith("padding='valid', temperature=0.5)")
