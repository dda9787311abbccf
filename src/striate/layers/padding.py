"""Arithmetic of "valid" and "same" padding, as TensorFlow defines it, and argument checks shared by layers."""

from typing import Literal

from torch import Tensor

from striate.errors import ArgumentError, ShapeError, unknown

Padding = Literal["valid", "same"]
Size = int | tuple[int, int]


def same_padding(n: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after an axis of `n` cells, as TensorFlow's "same" defines it.

    total = max((ceil(n / stride) - 1) * stride + kernel - n, 0); an odd cell goes after (to the bottom or the right).
    Source: TensorFlow, `tf.nn` notes on padding. `n`, `kernel` and `stride` are at least 1.

    >>> same_padding(28, kernel=3, stride=1), same_padding(28, kernel=3, stride=2), same_padding(2, kernel=1, stride=5)
    ((1, 1), (0, 1), (0, 0))
    """
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2


def output_size(n: int, kernel: int, stride: int, padding: Padding) -> int:
    """Return the output size of an axis: "valid" floor((n - kernel) / stride) + 1, "same" ceil(n / stride).

    Raises ShapeError where there is no cell, or where a "valid" window is larger than the axis.

    >>> output_size(28, 3, 2, "valid"), output_size(28, 3, 2, "same")
    (13, 14)
    """
    if n < 1:
        raise ShapeError(f"an axis of {n} cells can't be pooled; it needs at least 1")
    if padding == "same":
        return -(-n // stride)
    if kernel > n:
        raise ShapeError(
            f"a window of {kernel} cells does not fit an axis of {n}; "
            'use a smaller kernel, a larger image or padding="same"'
        )
    return (n - kernel) // stride + 1


def check_padding(padding: Padding) -> Padding:
    """Return `padding`; raises ArgumentError unless it is "valid" or "same"."""
    if padding not in ("valid", "same"):
        raise unknown("padding", padding, ("valid", "same"))
    return padding


def border(padding: Size, kernel: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) added on each side, as PyTorch's pooling takes them: from 0 to half of the kernel.

    Raises ArgumentError for anything else.
    """
    cells = tuple(padding) if isinstance(padding, tuple | list) else (padding, padding)
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in cells)
    if (
        len(cells) != 2
        or not whole
        or not all(0 <= each <= side // 2 for each, side in zip(cells, kernel, strict=True))
    ):
        raise ArgumentError(
            f'padding must be "valid", "same", or cells from 0 to half of the kernel {kernel}, received {padding!r}'
        )
    return cells[0], cells[1]


def positive(value: int, name: str) -> int:
    """Return `value`; raises ArgumentError, naming the argument, unless it is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{name} must be an integer of at least 1, received {value!r}")
    return value


def pair(value: Size, name: str) -> tuple[int, int]:
    """Return (height, width) from one integer for both or a pair; raises ArgumentError unless both are positive."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ArgumentError(f"{name} must be an integer or a pair (height, width), received {value!r}")
        return positive(value[0], name), positive(value[1], name)
    return positive(value, name), positive(value, name)


def image_size(x: Tensor, layer: str, channels: int | None = None) -> tuple[int, int]:
    """Return (H, W) of images (N, C, H, W) or (C, H, W).

    Raises ShapeError, naming `layer`, for other ranks, for images without a pixel, and where C is not `channels`.
    """
    shape = tuple(x.shape)
    if len(shape) not in (3, 4):
        raise ShapeError(f"{layer} takes images (N, C, H, W) or (C, H, W), received a tensor of shape {shape}")
    if channels is not None and shape[-3] != channels:
        raise ShapeError(f"{layer} takes {channels} channels, received {shape[-3]} in a tensor of shape {shape}")
    height, width = shape[-2], shape[-1]
    if height < 1 or width < 1:
        raise ShapeError(f"{layer} takes images of at least 1x1, received a tensor of shape {shape}")
    return height, width
