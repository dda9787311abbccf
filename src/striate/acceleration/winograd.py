"""Winograd convolutions, F(4×4, 3×3): 3×3 convolutions with a quarter of the multiplications.

Source: Winograd, "Arithmetic Complexity of Computations", 1980; for images Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", 2016, section 4.3, whose three matrices are below. A tile of 6×6 pixels gives one of
4×4: both are transformed, and in between one number of each channel is multiplied, not nine. The gradient of the
filters is the same the other way round: from tiles of images and of gradients to nine taps. In float32 the results
differ from direct sums by some 10⁻⁵ of their size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

INPUT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
     [0, 4, 0, -5, 0, 1]], dtype=torch.float32
)  # fmt: skip
FILTER = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
     [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64
)  # fmt: skip
OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float32
)
# Of both directions at once, on tiles written row by row.
INPUTS, FILTERS, OUTPUTS = (torch.kron(each, each).float() for each in (INPUT, FILTER, OUTPUT))

SIDE = 4  # of a tile of the output
CHUNK = 2**19  # values of transformed tiles: few enough to stay in the cache


def taken(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **others: Any
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The images, filters and biases among the arguments of F.conv2d, which may be named."""
    return input, weight, bias


def fits(
    input: Any,
    weight: Any = None,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    **others: Any,
) -> bool:
    """Tell whether it is a 3×3 convolution with stride and padding 1, dense, of float32 images on the CPU."""
    if others or not isinstance(weight, Tensor) or input.ndim != 4 or tuple(weight.shape[2:]) != (3, 3) or groups != 1:
        return False
    ones = all(each in (1, (1, 1), [1, 1], (1,), [1]) for each in (stride, dilation))
    return (
        ones
        and padding in ("same", 1, (1, 1), [1, 1], (1,), [1])
        and input.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
    )


def transformed(weight: Tensor) -> Tensor:
    """Transform filters, float32 (outputs, inputs, 3, 3), for `convolution`: float32 (36, inputs, outputs)."""
    outputs, inputs = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (FILTERS @ taps).view(36, inputs, outputs)


def convolution(x: Tensor, filters: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `F.conv2d` with padding 1.

    Args:
        x: float32 (N, inputs, H, W), on the CPU.
        filters: `transformed`.
        bias: (outputs) or `None`.

    Returns:
        (N, outputs, H, W), channels-last in memory.
    """
    _, inputs, height, width = (int(side) for side in x.shape)
    rows, columns = _tiles_along(height), _tiles_along(width)
    many = _at_once(x, inputs)
    parts = [_some(_padded(part, 1), filters, rows, columns)[:, :height, :width] for part in x.split(many)]
    return torch.cat(parts if bias is None else [part + bias for part in parts]).permute(0, 3, 1, 2)


def filter_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Compute the gradient of the filters of `F.conv2d` with padding 1.

    Args:
        x: float32 (N, inputs, H, W), on the CPU.
        gradient: that of the result, float32 (N, outputs, H, W).

    Returns:
        (outputs, inputs, 3, 3).
    """
    inputs, outputs = x.shape[1], gradient.shape[1]
    many = _at_once(x, max(inputs, outputs))
    products = x.new_zeros(36, inputs, outputs)
    for images, gradients in zip(x.split(many), gradient.split(many), strict=True):
        values = (INPUTS @ _tiles(_padded(images, 1), SIDE + 2)).view(36, -1, inputs)
        errors = (OUTPUTS.T @ _tiles(_padded(gradients, 0), SIDE)).view(36, -1, outputs)
        products.baddbmm_(values.transpose(1, 2), errors)
    return (FILTERS.T @ products.view(36, -1)).view(3, 3, inputs, outputs).permute(3, 2, 0, 1)


def tiles_of(x: Tensor) -> int:
    """Number of tiles of the images, (N, C, H, W)."""
    return len(x) * _tiles_each(x)


def _at_once(x: Tensor, channels: int) -> int:
    """Number of images whose transformed tiles, with so many channels, stay in the cache."""
    return max(1, CHUNK // (36 * _tiles_each(x) * channels))


def _tiles_each(x: Tensor) -> int:
    return _tiles_along(int(x.shape[2])) * _tiles_along(int(x.shape[3]))


def _tiles_along(side: int) -> int:
    return -(-side // SIDE)


def _padded(x: Tensor, border: int) -> Tensor:
    """(N, C, H, W) as (N, H, W, C), with a border and with what its tiles lack below and to the right, all zero."""
    below, right = (SIDE * _tiles_along(int(side)) - int(side) + border for side in x.shape[2:])
    return F.pad(x.permute(0, 2, 3, 1), (0, 0, border, right, border, below))


def _tiles(padded: Tensor, side: int) -> Tensor:
    """Each tile's pixels below each other: (side², N · rows · columns · C), with C the last to change."""
    tiles = padded.unfold(1, side, SIDE).unfold(2, side, SIDE)  # (N, rows, columns, C, side, side)
    return tiles.permute(4, 5, 0, 1, 2, 3).reshape(side * side, -1)


def _some(padded: Tensor, filters: Tensor, rows: int, columns: int) -> Tensor:
    """Convolve a few images, (N, 4 rows + 2, 4 columns + 2, inputs), to (N, 4 rows, 4 columns, outputs)."""
    count, _, _, inputs = (int(side) for side in padded.shape)
    values = INPUTS @ _tiles(padded, SIDE + 2)
    products = torch.bmm(values.view(36, -1, inputs), filters)
    outputs = (OUTPUTS @ products.view(36, -1)).view(SIDE, SIDE, count, rows, columns, -1)
    return outputs.permute(2, 3, 0, 4, 1, 5).reshape(count, SIDE * rows, SIDE * columns, -1)
