"""Parts of residual blocks: the addition of branch and shortcut, and the shortcut without parameters.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, section 3.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import image_size, positive


class Add(nn.Module):
    """Element-wise sum of its inputs, as a module so that hooks see it.

    Tensors of one shape (any) -> that shape. Raises ShapeError where the shapes differ: broadcasting would hide a
    mistake.

    >>> import torch
    >>> Add()(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]))
    tensor([11., 22.])
    """

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            if other.shape != x.shape:
                raise ShapeError(f"Add takes tensors of one shape, received {tuple(x.shape)} and {tuple(other.shape)}")
            x = x + other
        return x


class PaddedShortcut(nn.Module):
    """Option A, the shortcut without parameters: every `stride`-th pixel, padded with channels of zeros.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)), or the same without N.
    Section 3.3 (A) and the networks of section 4.2.

    Raises ArgumentError where `out_channels` is below `in_channels`, and ShapeError for another channel count.

    >>> import torch
    >>> PaddedShortcut(1, 2, stride=2)(torch.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[1., 3.]],
    <BLANKLINE>
            [[0., 0.]]])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.in_channels = positive(in_channels, "in_channels")
        self.out_channels = positive(out_channels, "out_channels")
        self.stride = positive(stride, "stride")
        if out_channels < in_channels:
            raise ArgumentError(f"out_channels={out_channels} must be at least in_channels={in_channels}")

    def forward(self, x: Tensor) -> Tensor:
        image_size(x, "PaddedShortcut", self.in_channels)
        kept = F.max_pool2d(x, 1, self.stride)  # as slicing does, but the layout in memory stays what it is
        return F.pad(kept, (0, 0, 0, 0, 0, self.out_channels - self.in_channels))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"
