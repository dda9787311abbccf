"""Pooling by rows and columns gives PyTorch's values and gradients, and other pooling stays PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from striate.acceleration import pooling
from striate.acceleration.pooling import FEW_CHANNELS, PairwisePooling, averaged


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "LEAST", 1)
    monkeypatch.setattr(pooling, "LEAST_TRAINED", 1)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what was not PyTorch's."""
    shapes, own = [], pooling._joined
    monkeypatch.setattr(
        pooling, "_joined", lambda images, join: shapes.append(tuple(images.shape)) or own(images, join)
    )
    return shapes


sizes = st.tuples(*[st.integers(1, 5)] * 2, *[st.integers(2, 9)] * 2)


@given(sizes, st.sampled_from([torch.contiguous_format, torch.channels_last]), st.integers(0, 99))
def test_values_are_pytorchs(size, layout, seed):
    images = torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(memory_format=layout)
    with PairwisePooling():
        maxima, means = F.max_pool2d(images, 2), F.avg_pool2d(images, (2, 2), count_include_pad=False)
    assert torch.equal(maxima, F.max_pool2d(images, 2))
    torch.testing.assert_close(means, F.avg_pool2d(images, 2))


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": (2, 2), "padding": 0, "ceil_mode": True}])
def test_windows_of_four_pixels_are_joined(options, joined):
    with PairwisePooling():
        F.max_pool2d(torch.zeros(1, 2, 4, 6), 2, **options)
    assert joined == [(1, 2, 4, 6)]


def test_pytorchs_own_layers_are_taken(joined):
    """They give all arguments, most of them by place."""
    images = torch.randn(1, 2, 4, 6)
    with PairwisePooling():
        for layer in (torch.nn.MaxPool2d(2), torch.nn.AvgPool2d(2)):
            layer(images)
    assert joined == [(1, 2, 4, 6)] * 2


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((1, 2, 5, 4), {"kernel_size": 2}),
        ((1, 2, 4, 4), {"kernel_size": 2, "stride": 1}),
        ((1, 2, 4, 4), {"kernel_size": 2, "padding": 1}),
        ((1, 2, 6, 6), {"kernel_size": 3}),
        ((1, 2, 6, 6), {"kernel_size": 2, "dilation": 2}),
        ((2, 4, 4), {"kernel_size": 2}),
    ],
)
def test_other_windows_are_pytorchs(size, options, joined):
    images = torch.randn(size)
    with PairwisePooling():
        found = F.max_pool2d(images, **options)
    assert torch.equal(found, F.max_pool2d(images, **options))
    assert joined == []


def test_indices_and_divisors_are_pytorchs(joined):
    images = torch.randn(1, 2, 4, 4)
    with PairwisePooling():
        values, places = F.max_pool2d(images, 2, return_indices=True)
        sums = F.avg_pool2d(images, 2, divisor_override=1)
    assert torch.equal(images.flatten(2).gather(2, places.flatten(2)), values.flatten(2))
    torch.testing.assert_close(sums, 4 * F.avg_pool2d(images, 2))
    assert joined == []


def test_few_values_are_pytorchs(joined, monkeypatch):
    monkeypatch.setattr(pooling, "LEAST", 10_000)
    with PairwisePooling():
        F.avg_pool2d(torch.zeros(1, 2, 4, 4), 2)
    assert joined == []


@given(st.integers(1, 3), st.integers(1, FEW_CHANNELS - 1), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_averages_of_few_channels_have_pytorchs_values_and_gradients(n, channels, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, channels, 2 * height, 2 * width, generator=generator)
    mine, theirs = (images.to(memory_format=torch.channels_last, copy=True).requires_grad_() for _ in range(2))
    means, expected = averaged(mine, (2, 2), (2, 2), (0, 0), ceil_mode=False), F.avg_pool2d(theirs, 2)
    torch.testing.assert_close(means, expected)
    gradient = torch.randn(expected.shape, generator=generator)
    means.backward(gradient)
    expected.backward(gradient)
    assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize(
    ("size", "layout", "dtype", "kernel"),
    [
        ((2, FEW_CHANNELS, 4, 4), torch.channels_last, torch.float32, 2),
        ((2, 6, 4, 4), torch.contiguous_format, torch.float32, 2),
        ((2, 6, 4, 4), torch.channels_last, torch.bfloat16, 2),
        ((2, 6, 6, 6), torch.channels_last, torch.float32, 3),
        ((2, 6, 5, 4), torch.channels_last, torch.float32, 2),
    ],
)
def test_other_averages_are_pytorchs(size, layout, dtype, kernel):
    assert averaged(torch.zeros(size, dtype=dtype).to(memory_format=layout), kernel) is None


def test_arguments_may_be_named(joined):
    images = torch.zeros(1, 6, 4, 4).to(memory_format=torch.channels_last)
    assert averaged(input=images, kernel_size=2) is not None
    with PairwisePooling():
        F.max_pool2d(input=images, kernel_size=2)
        F.avg_pool2d(input=images, kernel_size=2)
    assert len(joined) == 3


def test_averages_of_few_values_are_pytorchs_in_training(monkeypatch):
    images = torch.zeros(1, 6, 4, 4).to(memory_format=torch.channels_last)
    assert averaged(images, 2) is not None
    monkeypatch.setattr(pooling, "LEAST_TRAINED", images.numel() + 1)
    assert averaged(images, 2) is None
