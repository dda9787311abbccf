"""The Inception module against its four branches in functional PyTorch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.layers import Inception, conv_relu


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
