"""The arithmetic of windows against a listing of them, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.pooling import windows as listed
from strategies import paddings, quick

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import check_padding, output_size, pair, same_padding

sizes = st.integers(1, 30)


@quick
@given(sizes, sizes, sizes, paddings)
def test_output_size_counts_the_windows(n, kernel, stride, padding):
    count = len(listed(n, kernel, stride, padding))
    if count == 0:
        with pytest.raises(ShapeError, match=f"window of {kernel} cells does not fit an axis of {n}"):
            output_size(n, kernel, stride, padding)
    else:
        assert output_size(n, kernel, stride, padding) == count


@quick
@given(sizes, sizes, sizes)
def test_same_padding_is_what_the_windows_miss(n, kernel, stride):
    before, after = same_padding(n, kernel, stride)
    assert 0 <= after - before <= 1
    padded = n + before + after
    assert (padded - kernel) // stride + 1 == -(-n // stride)
    if before + after:  # no cell more than needed
        assert (padded - kernel) % stride == 0


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "expected"),
    [
        (224, 7, 2, (2, 3)),
        (112, 3, 2, (0, 1)),
        (28, 5, 1, (2, 2)),
        (5, 2, 1, (0, 1)),
        (1, 3, 2, (1, 1)),
        (7, 1, 3, (0, 0)),
    ],
)
def test_same_padding_of_tensorflow(n, kernel, stride, expected):
    assert same_padding(n, kernel, stride) == expected


def test_an_axis_without_cells_is_refused():
    with pytest.raises(ShapeError, match="an axis of 0 cells"):
        output_size(0, 1, 1, "same")


def test_an_unknown_padding_names_the_nearest():
    with pytest.raises(ArgumentError, match=r"unknown padding 'sane'\. Did you mean 'same'\? Known: same, valid\."):
        check_padding("sane")


def test_pair():
    assert pair(3, "kernel_size") == (3, 3)
    assert pair((1, 2), "kernel_size") == (1, 2)
    assert pair([1, 2], "kernel_size") == (1, 2)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "3", None, (1, 0), (1, 2, 3), (2,), (1, 2.0)])
def test_pair_refuses(bad):
    with pytest.raises(ArgumentError, match="kernel_size must be"):
        pair(bad, "kernel_size")
