"""Connections and multiply-adds against the definition: the entries of the Jacobian that are not 0."""

import pytest
import torch
from torch import nn

from striate import layers
from striate.inspection import LayerRow, describe


def only(layer: nn.Module, shape: tuple[int, int, int]) -> LayerRow:
    _, row = describe(layer, shape).rows
    return row


def links(layer: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Pairs of an input and an output that depends on it, and the outputs; without padding and with weights above 0."""
    layer = layer.double().eval()
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    x = torch.rand(1, *shape, dtype=torch.float64) + 2
    jacobian = torch.autograd.functional.jacobian(layer, x)
    return int((jacobian != 0).sum()), layer(x).numel()


@pytest.mark.parametrize(
    ("layer", "type_", "window"),
    [
        (nn.Conv2d(4, 6, 3), "conv", "(3, 3) (1, 1) valid"),
        (nn.Conv2d(4, 6, (2, 3), stride=(2, 1), bias=False), "conv", "(2, 3) (2, 1) valid"),
        (nn.Conv2d(4, 6, 3, groups=2), "conv, 2 groups", "(3, 3) (1, 1) valid"),
        (nn.Conv2d(4, 8, 3, groups=4), "depthwise conv", "(3, 3) (1, 1) valid"),
        (nn.Conv2d(4, 2, 2, dilation=3, stride=2), "conv, dilation 3", "(2, 2) (2, 2) valid"),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), "transposed conv, 2 groups", "(2, 2) (2, 2) valid"),
        (layers.PartialConv2d([(0, 1), (3,), (0, 2, 3)], 4, 3), "partial conv", "(3, 3) (1, 1) valid"),
    ],
)
def test_weighted_layers(layer: nn.Module, type_: str, window: str) -> None:
    row = only(layer, (4, 7, 6))
    pairs, units = links(layer, (4, 7, 6))
    assert row.multiply_adds == pairs
    assert row.connections == pairs + units * (layer.bias is not None)
    assert row.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert (row.type, f"{row.kernel} {row.stride} {row.padding}") == (type_, window)


@pytest.mark.parametrize(
    ("layer", "type_"),
    [
        (layers.AvgPool2d(2), "avg pool"),
        (nn.AvgPool2d((3, 2), stride=1), "avg pool"),
        (layers.DepthwiseAvgPool2d(2), "depthwise avg pool"),
        (layers.GlobalAvgPool2d(), "global avg pool"),
        (nn.AdaptiveAvgPool2d(1), "global avg pool"),
        (nn.AdaptiveAvgPool2d((3, 4)), "adaptive avg pool"),
        (layers.Subsampling2d(4), "subsample"),
    ],
)
def test_poolings_see_their_windows(layer: nn.Module, type_: str) -> None:
    row = only(layer, (4, 7, 6))
    pairs, units = links(layer, (4, 7, 6))
    weighted = isinstance(layer, layers.Subsampling2d)
    assert (row.type, row.connections, row.multiply_adds) == (type_, pairs + weighted * units, weighted * units)


@pytest.mark.parametrize(
    ("layer", "connections", "padding"),
    [
        (nn.MaxPool2d(3, stride=2, padding=1), 2 * 4 * 3 * 9, "1"),
        (nn.MaxPool2d(3, stride=2, ceil_mode=True), 2 * 3 * 3 * 9, "valid (ceil)"),
        (layers.MaxPool2d(3, stride=2, padding="same"), 2 * 4 * 3 * 9, "same"),
        (layers.DepthwiseMaxPool2d(2), 1 * 7 * 6 * 2, "valid"),
        (nn.Conv2d(2, 3, 3, padding=1), 3 * 7 * 6 * 19, "same"),
        (nn.Conv2d(2, 3, 3, padding="same"), 3 * 7 * 6 * 19, "same"),
        (nn.Conv2d(2, 3, 3, padding=(2, 1)), 3 * 9 * 6 * 19, "2×1"),
        (nn.Conv2d(2, 3, 3, stride=2, padding=1), 3 * 4 * 3 * 19, "1"),
        (nn.BatchNorm2d(2), 2 * 7 * 6 * 2, ""),
        (nn.BatchNorm2d(2, affine=False), 2 * 7 * 6, ""),
    ],
)
def test_padding_counts_and_has_a_name(layer: nn.Module, connections: int, padding: str) -> None:
    row = only(layer, (2, 7, 6))
    assert (row.connections, row.padding) == (connections, padding)


def test_other_ranks() -> None:
    tokens = describe(nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 3, 5), nn.Linear(26, 7)), (2, 6, 5)).rows
    assert [(row.channels, row.size, row.multiply_adds) for row in tokens[1:]] == [
        (2, (30,), 0),
        (3, (26,), 3 * 26 * 10),
        (7, (3,), 3 * 7 * 26),
    ]


def test_a_blur_counts_what_it_applies_and_a_blurred_convolution_both() -> None:
    row = only(layers.BlurPool2d(4, "tri-3"), (4, 7, 6))
    assert (row.type, row.kernel, row.stride, row.padding) == ("blur pool", (3, 3), (2, 2), "mirrored")
    assert (row.size, row.connections, row.multiply_adds) == ((4, 3), 4 * 12 * 9, 4 * 12 * 9)
    row = only(layers.BlurredConv2d(nn.Conv2d(4, 5, 3, stride=2, padding=1), "tri-3"), (4, 7, 6))
    assert (row.type, row.kernel, row.stride, row.padding) == ("blurred conv", (3, 3), (2, 2), "1")
    assert row.multiply_adds == 5 * 42 * 4 * 9 + 5 * 12 * 9, "the convolution is applied at all 42 pixels"
    assert row.connections == row.multiply_adds + 5 * 42
    row = only(layers.BlurredConv2d(nn.Conv2d(4, 5, 1, stride=2, bias=False), "tri-3"), (4, 7, 6))
    assert row.connections == row.multiply_adds == 5 * 12 * 4 + 4 * 12 * 9, "a 1×1 convolution only at those left"
