"""Pooling against NumPy loops, its laws and its refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.pooling import mean, pool2d
from strategies import Window, images, quick, windows

from striate.errors import ArgumentError, ShapeError
from striate.layers import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d

both = pytest.mark.parametrize(("layer", "reduce"), [(MaxPool2d, max), (AvgPool2d, mean)])
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


@pytest.mark.slow
@both
@quick
@given(st.data(), windows())
def test_agrees_with_the_definition(layer, reduce, data, window: Window):
    x = data.draw(images(2, 2, *window.image)).contiguous(memory_format=data.draw(formats))
    pooled = layer(window.kernel, window.stride, window.padding)(x)
    expected = pool2d(x.numpy(), reduce, window.kernel, window.stride, window.padding)
    assert pooled.shape == expected.shape
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=1e-12, atol=1e-12)


@quick
@given(st.data(), windows())
def test_average_lies_between_minimum_and_maximum(data, window: Window):
    x = data.draw(images(1, 3, *window.image))
    arguments = (window.kernel, window.stride, window.padding)
    average, largest, least = AvgPool2d(*arguments)(x), MaxPool2d(*arguments)(x), -MaxPool2d(*arguments)(-x)
    assert (least <= average + 1e-12).all()
    assert (average <= largest + 1e-12).all()


@quick
@given(st.data(), windows())
def test_max_commutes_with_increasing_functions(data, window: Window):
    x = data.draw(images(1, 2, *window.image))
    pool = MaxPool2d(window.kernel, window.stride, window.padding)
    assert torch.equal(pool(torch.exp(x)), torch.exp(pool(x)))


@quick
@given(st.data(), windows())
def test_average_is_linear_and_keeps_constants(data, window: Window):
    x, y = data.draw(images(1, 2, *window.image)), data.draw(images(1, 2, *window.image))
    pool = AvgPool2d(window.kernel, window.stride, window.padding)
    torch.testing.assert_close(pool(2 * x - y), 2 * pool(x) - pool(y))
    torch.testing.assert_close(pool(torch.full_like(x, 7)), torch.full_like(pool(x), 7))


@quick
@given(st.data(), windows())
def test_transposed_images_are_pooled_alike(data, window: Window):
    x = data.draw(images(1, 2, *window.image))
    for layer in (MaxPool2d, AvgPool2d):
        pooled = layer(window.kernel, window.stride, window.padding)(x)
        turned = layer(window.kernel[::-1], window.stride[::-1], window.padding)(x.mT)
        torch.testing.assert_close(turned.mT, pooled)


@quick
@given(st.data(), st.integers(1, 6), st.integers(1, 6))
def test_global_pooling_is_one_window_over_the_image(data, height, width):
    x = data.draw(images(2, 3, height, width))
    for whole, windowed in ((GlobalAvgPool2d, AvgPool2d), (GlobalMaxPool2d, MaxPool2d)):
        expected = windowed((height, width))(x)
        torch.testing.assert_close(whole(keepdim=True)(x), expected)
        torch.testing.assert_close(whole()(x), expected.flatten(1))


def test_padding_is_never_the_maximum():
    x = torch.full((1, 1, 3, 3), -5.0)
    assert (MaxPool2d(3, stride=1, padding="same")(x) == -5).all()
    assert (MaxPool2d(2, stride=1, padding="same")(x) == -5).all()


@pytest.mark.parametrize("kernel", [3, (1, 3)])
def test_average_divides_by_real_cells(kernel):
    assert AvgPool2d(kernel, stride=2, padding="same")(torch.tensor([[[[10.0, 20.0]]]])).item() == 15


def test_stride_is_the_kernel_unless_given():
    assert MaxPool2d((2, 3)).stride == (2, 3)
    assert AvgPool2d(2, stride=(1, 3)).stride == (1, 3)
    assert repr(MaxPool2d(2, padding="same")) == "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding='same')"


@pytest.mark.parametrize("layer", [MaxPool2d, AvgPool2d])
def test_refusals(layer):
    with pytest.raises(ShapeError, match="a window of 4 cells does not fit an axis of 3"):
        layer((2, 4))(torch.zeros(1, 1, 5, 3))
    with pytest.raises(ShapeError, match=rf"{layer.__name__} takes images .* received a tensor of shape \(5, 3\)"):
        layer(2)(torch.zeros(5, 3))
    with pytest.raises(ArgumentError, match="stride must be an integer of at least 1, received 0"):
        layer(2, stride=0)
    with pytest.raises(ArgumentError, match="unknown padding 'full'"):
        layer(2, padding="full")


@pytest.mark.parametrize("layer", [MaxPool2d(1, padding="same"), AvgPool2d(1), GlobalAvgPool2d(), GlobalMaxPool2d()])
def test_images_without_pixels_are_refused(layer):
    with pytest.raises(ShapeError, match="images of at least 1x1"):
        layer(torch.zeros(2, 3, 0, 4))
