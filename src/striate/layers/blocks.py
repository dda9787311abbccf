"""Parts of residual and Inception blocks: the addition, the shortcut without parameters, and the parallel branches.

Sources: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, section 3; Szegedy et al., "Going
Deeper with Convolutions", 2014, section 4 and figure 2(b).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import image_size, positive
from striate.layers.pooling import MaxPool2d


class Add(nn.Module):
    """Element-wise sum of its inputs, as a module so that hooks see it.

    Tensors of one shape (any) -> that shape. Raises ShapeError where the shapes differ: broadcasting would hide a
    mistake.

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


NORM_EPSILON = 0.001  # what TensorFlow's and torchvision's GoogLeNet add to the variance


def conv_relu(inputs: int, outputs: int, kernel_size: int, stride: int = 1, norm: bool = False) -> nn.Sequential:
    """Return a convolution `conv`, with `norm` a batch normalisation `bn` instead of its bias, and a ReLU `relu`.

    (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride)): `kernel_size` is odd, and half of it is
    padded on each side.

    >>> conv_relu(3, 16, kernel_size=3)(torch.zeros(1, 3, 9, 9)).shape
    torch.Size([1, 16, 9, 9])
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=not norm)
    if norm:
        layers["bn"] = nn.BatchNorm2d(outputs, eps=NORM_EPSILON)
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class Inception(nn.Module):
    """Inception module of four parallel branches: 1×1; 1×1 then 3×3; 1×1 then 5×5; 3×3 max pooling then 1×1.

    (N, inputs, H, W) -> (N, ones + threes[1] + fives[1] + pooled, H, W), or the same without N; floating. A ReLU
    follows every convolution.

    Args:
        inputs: input channels.
        ones: channels of the 1×1 branch.
        threes, fives: channels of the reduction before the 3×3 and the 5×5 convolution, and of the convolution.
        pooled: channels of the projection after the pooling.
        norm: batch normalisation instead of each convolution's bias; not in the paper.
        largest: kernel of the third branch; 5 in the paper, 3 in torchvision's weights.

    >>> Inception(192, 64, (96, 128), (16, 32), 32)(torch.zeros(1, 192, 28, 28)).shape
    torch.Size([1, 256, 28, 28])
    """

    def __init__(
        self,
        inputs: int,
        ones: int,
        threes: tuple[int, int],
        fives: tuple[int, int],
        pooled: int,
        norm: bool = False,
        largest: int = 5,
    ):
        super().__init__()
        self.branch1 = conv_relu(inputs, ones, 1, norm=norm)
        self.branch2 = nn.Sequential(conv_relu(inputs, threes[0], 1, norm=norm), conv_relu(*threes, 3, norm=norm))
        self.branch3 = nn.Sequential(conv_relu(inputs, fives[0], 1, norm=norm), conv_relu(*fives, largest, norm=norm))
        self.branch4 = nn.Sequential(MaxPool2d(3, stride=1, padding="same"), conv_relu(inputs, pooled, 1, norm=norm))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=-3)
