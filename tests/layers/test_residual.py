"""The residual sum and option A's shortcut, against NumPy, and what they refuse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import images, quick

from striate.errors import ArgumentError, ShapeError
from striate.layers import Add, PaddedShortcut


@quick
@given(st.data(), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.integers(0, 3))
def test_option_a_keeps_every_stride_th_pixel_and_adds_maps_of_zeros(data, height, width, stride, extra):
    x = data.draw(images(2, 3, height, width))
    kept = x.numpy()[:, :, ::stride, ::stride]
    expected = np.concatenate([kept, np.zeros((2, extra, *kept.shape[2:]))], axis=1)
    assert np.array_equal(PaddedShortcut(3, 3 + extra, stride)(x).numpy(), expected)


@quick
@given(st.data())
def test_a_sum_takes_any_number_of_terms_in_any_order(data):
    x, y, z = (data.draw(images(1, 2, 3, 3)) for _ in range(3))
    before = x.clone()
    torch.testing.assert_close(Add()(x, y, z), torch.from_numpy(x.numpy() + y.numpy() + z.numpy()))
    assert torch.equal(Add()(x, y), Add()(y, x))
    assert torch.equal(x, before), "not in place"


def test_refusals():
    with pytest.raises(ShapeError, match=r"Add takes tensors of one shape, received \(2, 3\) and \(1, 3\)"):
        Add()(torch.zeros(2, 3), torch.zeros(1, 3))
    with pytest.raises(ArgumentError, match="out_channels=2 must be at least in_channels=3"):
        PaddedShortcut(3, 2)
    with pytest.raises(ArgumentError, match="stride must be an integer of at least 1"):
        PaddedShortcut(3, 3, stride=0)
    with pytest.raises(ShapeError, match="PaddedShortcut takes 3 channels, received 2"):
        PaddedShortcut(3, 4)(torch.zeros(1, 2, 4, 4))
