"""Depthwise pooling: pooling across channels, where each output channel summarises a group of neighbouring ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.layers.padding import Padding, check_padding, image_size, positive, same_padding


class _DepthwisePool2d(nn.Module):
    """Base class of the depthwise pooling layers: arguments, grouping of the channels and padding."""

    _fill: float  # what padding channels hold

    def __init__(self, kernel_size: int = 3, stride: int | None = None, padding: Padding = "valid"):
        super().__init__()
        self.kernel_size = positive(kernel_size, "kernel_size")
        self.stride = kernel_size if stride is None else positive(stride, "stride")
        self.padding = check_padding(padding)

    def forward(self, x: Tensor) -> Tensor:
        image_size(x, type(self).__name__)
        channels = x.shape[-3]
        pad = self._padding(channels)
        # Reductions write row-major output: putting the channels where they lie in memory keeps the memory format.
        channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        axis = -1 if channels_last else -3
        if channels_last:
            x = x.movedim(-3, -1)  # (N, H, W, C)
        if any(pad):
            x = F.pad(x, (0, 0) * (-1 - axis) + pad, value=self._fill)
        pooled = self._reduce(x.unfold(axis, self.kernel_size, self.stride))  # (N, C', H, W, kernel) -> (N, C', H, W)
        pooled = pooled.movedim(-1, -3) if channels_last else pooled
        return self._real_share(pooled, channels, pad) if any(pad) else pooled

    def _padding(self, channels: int) -> tuple[int, int]:
        if channels < 1:
            raise ShapeError(f"{type(self).__name__} needs at least 1 channel, received none")
        if self.padding == "same":
            return same_padding(channels, self.kernel_size, self.stride)
        if channels < self.kernel_size or (channels - self.kernel_size) % self.stride:
            raise ShapeError(
                f"{channels} channels can't be divided into groups of {self.kernel_size} at a stride of {self.stride} "
                'without a remainder; use another kernel_size or padding="same"'
            )
        return 0, 0

    def _reduce(self, windows: Tensor) -> Tensor:
        raise NotImplementedError

    def _real_share(self, pooled: Tensor, channels: int, pad: tuple[int, int]) -> Tensor:
        return pooled

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class DepthwiseMaxPool2d(_DepthwisePool2d):
    """The largest of `kernel_size` neighbouring channels, at every pixel.

    (N, C, H, W) -> (N, C', H, W), or the same without N; floating. C' = (C - kernel_size) / stride + 1 with "valid"
    and ceil(C / stride) with "same", where padding is never chosen. Channels that tie share the gradient.

    `stride` defaults to `kernel_size`. Raises ArgumentError for an argument out of range, and ShapeError for a tensor
    that is no image and for a channel count that "valid" windows don't divide evenly.

    >>> x = torch.tensor([1.0, 5.0, 2.0, -3.0, -1.0, -2.0]).view(1, 6, 1, 1)
    >>> DepthwiseMaxPool2d(3)(x).flatten()
    tensor([ 5., -1.])
    """

    _fill = -torch.inf

    def _reduce(self, windows: Tensor) -> Tensor:
        return windows.amax(-1)


class DepthwiseAvgPool2d(_DepthwisePool2d):
    """The mean of `kernel_size` neighbouring channels, at every pixel; with "same" padding, of those that exist.

    Shapes, arguments and errors as in DepthwiseMaxPool2d.

    >>> x = torch.tensor([1.0, 2.0, 3.0, 10.0]).view(1, 4, 1, 1)
    >>> DepthwiseAvgPool2d(3, padding="same")(x).flatten()
    tensor([1.5000, 6.5000])
    """

    _fill = 0.0

    def _reduce(self, windows: Tensor) -> Tensor:
        return windows.mean(-1)

    def _real_share(self, pooled: Tensor, channels: int, pad: tuple[int, int]) -> Tensor:
        ones = F.pad(pooled.new_ones(channels), pad)
        return pooled / ones.unfold(0, self.kernel_size, self.stride).mean(-1)[:, None, None]
