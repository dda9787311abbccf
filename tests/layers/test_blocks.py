"""The residual sum and shortcut against NumPy, the Inception module against functional PyTorch, and refusals."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import images, quick
from torch import nn

from striate.errors import ArgumentError, ShapeError
from striate.layers import Add, Inception, PaddedShortcut, conv_relu


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


def test_is_four_branches_whose_maps_are_stacked():
    layer = Inception(6, 1, (2, 3), (4, 5), 7)
    for i, parameter in enumerate(layer.parameters()):
        parameter.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(i))
    w = layer.state_dict()

    def conv(x, name, padding):
        return F.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], padding=padding).relu()

    x = torch.randn(2, 6, 7, 5, generator=torch.Generator().manual_seed(0))
    branches = [
        conv(x, "branch1", 0),
        conv(conv(x, "branch2.0", 0), "branch2.1", 1),
        conv(conv(x, "branch3.0", 0), "branch3.1", 2),
        conv(F.max_pool2d(x, 3, 1, 1), "branch4.1", 0),
    ]
    assert [branch.shape[1] for branch in branches] == [1, 3, 5, 7]
    torch.testing.assert_close(layer(x), torch.cat(branches, 1))


def test_windows_are_the_papers_or_torchvisions():
    windows = [m.kernel_size for m in Inception(3, 1, (1, 1), (1, 1), 1).modules() if isinstance(m, nn.Conv2d)]
    assert windows == [(1, 1), (1, 1), (3, 3), (1, 1), (5, 5), (1, 1)]
    other = Inception(3, 1, (1, 1), (1, 1), 1, norm=True, largest=3)
    convolutions = [m for m in other.modules() if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(1, 1), (1, 1), (3, 3), (1, 1), (3, 3), (1, 1)]
    assert all(m.bias is None for m in convolutions)
    assert [m.eps for m in other.modules() if isinstance(m, nn.BatchNorm2d)] == [0.001] * 6


@pytest.mark.parametrize(("size", "stride", "made"), [(7, 1, 7), (7, 2, 4), (8, 2, 4), (1, 2, 1)])
def test_conv_relu_pads_half_of_the_window(size, stride, made):
    unit = conv_relu(2, 3, 5, stride=stride)
    x = torch.randn(1, 2, size, size, generator=torch.Generator().manual_seed(0))
    assert unit(x).shape == (1, 3, made, made)
    torch.testing.assert_close(unit(x), F.conv2d(x, unit.conv.weight, unit.conv.bias, stride, padding=2).clamp(min=0))
