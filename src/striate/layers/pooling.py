"""Max and average pooling with "valid" and "same" padding, and global pooling.

"same" is TensorFlow's: PyTorch's own pooling pads both sides equally, which gives other windows if the padding is odd.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.layers.padding import Padding, Size, border, check_padding, image_size, output_size, pair, same_padding


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

    def _pool(self, x: Tensor, padding: tuple[int, int], ceil_mode: bool) -> Tensor:
        return F.avg_pool2d(
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
