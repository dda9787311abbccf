"""Pooling by rows and columns gives PyTorch's values, and other pooling stays PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from striate.acceleration import pooling
from striate.acceleration.pooling import PairwisePooling


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "LEAST", 1)


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
