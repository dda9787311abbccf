"""Pooling: max and average over windows of pixels, over whole feature maps, and over neighbouring channels.

"same" padding is TensorFlow's: PyTorch's own pads both sides equally, which gives other windows if the padding is odd.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import (
    Padding,
    Size,
    border,
    check_padding,
    image_size,
    output_size,
    pair,
    positive,
    same_padding,
)


class _Pool2d(nn.Module):
    """Base class of MaxPool2d and AvgPool2d: arguments and padding."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Padding | Size = "valid"):
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, "stride")
        self.padding = check_padding(padding) if isinstance(padding, str) else border(padding, self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        axes = list(zip(image_size(x, type(self).__name__), self.kernel_size, self.stride, strict=True))
        if not isinstance(self.padding, str):
            for (n, kernel, stride), cells in zip(axes, self.padding, strict=True):
                output_size(n + 2 * cells, kernel, stride, "valid")
            return self._pool(x, self.padding, False)
        for n, kernel, stride in axes:
            output_size(n, kernel, stride, self.padding)
        if self.padding == "valid":
            return self._pool(x, (0, 0), False)
        # PyTorch's padding is equal on both sides and ignored by both of its pools. One cell more after is what its
        # ceil_mode adds where the stride is over 1. Where it is 1, one cell more on both sides adds a window in front.
        pads = [same_padding(n, kernel, stride) for n, kernel, stride in axes]
        uneven = [before < after for before, after in pads]
        extra = [int(odd and stride == 1) for odd, (_, _, stride) in zip(uneven, axes, strict=True)]
        padding = (pads[0][0] + extra[0], pads[1][0] + extra[1])
        pooled = self._pool(x, padding, any(odd and not more for odd, more in zip(uneven, extra, strict=True)))
        return pooled[..., extra[0] :, extra[1] :].clone() if any(extra) else pooled

    def _pool(self, x: Tensor, padding: tuple[int, int], ceil_mode: bool) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class MaxPool2d(_Pool2d):
    """Max pooling with "valid" or "same" padding.

    (N, C, H, W) -> (N, C, H', W'), or the same without N; floating. H' = floor((H - kh) / sh) + 1 with "valid" and
    ceil(H / sh) with "same", W' likewise. Padding cells are never chosen, whatever the sign of the image.

    `kernel_size` and `stride`: one integer or (height, width); `stride` defaults to `kernel_size` and may be larger.
    `padding`: "valid", "same", or as in PyTorch a number of cells on each side, one or (height, width), at most half of
    the kernel.
    Raises ArgumentError for an argument out of range, and ShapeError for a tensor that is no image and for a "valid"
    window larger than the image.

    >>> x = torch.tensor([[[[-4.0, -3.0, -2.0, -1.0]]]])
    >>> MaxPool2d((1, 3), stride=2, padding="same")(x)
    tensor([[[[-2., -1.]]]])
    """

    def _pool(self, x: Tensor, padding: tuple[int, int], ceil_mode: bool) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, padding, ceil_mode=ceil_mode)


class AvgPool2d(_Pool2d):
    """Average pooling with "valid" or "same" padding; padding cells don't count.

    Shapes, arguments and errors as in MaxPool2d. With numbers as padding the added cells count as zeros, as in PyTorch.

    >>> AvgPool2d(3, stride=2, padding="same")(torch.tensor([[[[10.0, 20.0]]]]))
    tensor([[[[15.]]]])
    """

    _average = staticmethod(F.avg_pool2d)  # or what stands for it in training

    def _pool(self, x: Tensor, padding: tuple[int, int], ceil_mode: bool) -> Tensor:
        return self._average(
            x,
            self.kernel_size,
            self.stride,
            padding,
            ceil_mode=ceil_mode,
            count_include_pad=not isinstance(self.padding, str),
        )


class GlobalAvgPool2d(nn.Module):
    """Global average pooling: (N, C, H, W) -> (N, C), or (N, C, 1, 1) with `keepdim`; the same without N. Floating.

    Raises ShapeError for a tensor that is no image or has no pixel.

    >>> GlobalAvgPool2d()(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    tensor([[3.]])
    """

    def __init__(self, keepdim: bool = False):
        super().__init__()
        self.keepdim = keepdim

    def forward(self, x: Tensor) -> Tensor:
        image_size(x, "GlobalAvgPool2d")
        return x.mean((-2, -1), keepdim=self.keepdim)

    def extra_repr(self) -> str:
        return f"keepdim={self.keepdim}"


class GlobalMaxPool2d(nn.Module):
    """Global max pooling; shapes and errors as in GlobalAvgPool2d. Cells that tie share the gradient.

    >>> GlobalMaxPool2d()(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]))
    tensor([[6.]])
    """

    def __init__(self, keepdim: bool = False):
        super().__init__()
        self.keepdim = keepdim

    def forward(self, x: Tensor) -> Tensor:
        image_size(x, "GlobalMaxPool2d")
        return torch.amax(x, (-2, -1), keepdim=self.keepdim)

    def extra_repr(self) -> str:
        return f"keepdim={self.keepdim}"


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
    """The largest of `kernel_size` neighbouring channels, at every pixel; or, at a temperature, a smooth maximum.

    (N, C, H, W) -> (N, C', H, W), or the same without N; floating. C' = (C - kernel_size) / stride + 1 with "valid"
    and ceil(C / stride) with "same", where padding is never chosen. Channels that tie share the gradient.

    `stride` defaults to `kernel_size`. At a `temperature` T above 0 it is T log Σ exp(x / T), which exceeds the maximum
    by at most T log kernel_size and passes gradient to all channels of the group, so that fewer stay untrained; lower
    the attribute to 0 while training (annealing). Raises ArgumentError for an argument out of range, and ShapeError for
    a tensor that is no image and for a channel count that "valid" windows don't divide evenly.

    >>> x = torch.tensor([1.0, 5.0, 2.0, -3.0, -1.0, -2.0]).view(1, 6, 1, 1)
    >>> DepthwiseMaxPool2d(3)(x).flatten()
    tensor([ 5., -1.])
    """

    _fill = -torch.inf

    def __init__(
        self,
        kernel_size: int = 3,
        stride: int | None = None,
        padding: Padding = "valid",
        temperature: float = 0.0,
    ):
        super().__init__(kernel_size, stride, padding)
        if not 0 <= temperature < torch.inf:
            raise ArgumentError(f"temperature must be a number of at least 0, received {temperature}")
        self.temperature = temperature

    def _reduce(self, windows: Tensor) -> Tensor:
        if self.temperature == 0:
            return windows.amax(-1)
        return self.temperature * torch.logsumexp(windows / self.temperature, -1)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", temperature={self.temperature}" if self.temperature else "")


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
