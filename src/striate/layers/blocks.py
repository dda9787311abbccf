"""Blocks of networks and their parts: residual, inverted residual, Inception, squeeze-and-excitation, stochastic depth.

Sources: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, section 3; Szegedy et al., "Going
Deeper with Convolutions", 2014, section 4 and figure 2(b); of the others in their docstrings.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError, ShapeError
from striate.layers.padding import image_size, positive
from striate.layers.pooling import GlobalAvgPool2d, MaxPool2d


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


def conv_norm(
    inputs: int,
    outputs: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    """Return a convolution without bias, a normalisation and, if there is one, an activation: layers 0, 1 and 2.

    (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride)): `kernel_size` is odd, and half of it is
    padded on each side.

    >>> import torch
    >>> conv_norm(3, 16, kernel_size=3, stride=2)(torch.zeros(1, 3, 9, 9)).shape
    torch.Size([1, 16, 5, 5])
    """
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, norm(outputs), *([activation()] if activation else []))


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


class StochasticDepth(nn.Module):
    """Stochastic depth: in training each sample is 0 with probability `p`, and otherwise divided by 1 - p.

    (N, ...) -> the same; floating. So the expected value is the input's. In evaluation mode the input is returned. As
    for PyTorch's dropout the random numbers are the default generator's.

    Source: Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth", 2016, section 3. Others call it
    drop path (Larsson, Maire, Shakhnarovich, 2016) or drop connect (EfficientNet's program).

    Raises ArgumentError unless 0 <= p < 1.

    >>> import torch
    >>> StochasticDepth(0.5).eval()(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """

    def __init__(self, p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ArgumentError(f"p={p}: the probability of leaving a branch out lies in [0, 1).")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty(x.shape[0], *(1,) * (x.dim() - 1)).bernoulli_(1 - self.p)
        return x * kept.div_(1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class ScaledResidual(nn.Module):
    """Residual block with layer scale: x + layer_scale · block(x), with one learned factor a channel.

    (N, channels, H, W) -> the same, or the same without N; floating. Source: Touvron, Cord, Sablayrolles, Synnaeve,
    Jégou, "Going Deeper with Image Transformers", 2021, section 2.

    Args:
        block: from feature maps to feature maps of the same shape.
        initial: what the factors start with.
        drop_rate: probability with which training leaves the branch out of the sum, see `StochasticDepth`.

    Raises ShapeError where the block's output has another shape.

    >>> ScaledResidual(nn.ReLU(), 2, initial=0.5)(torch.ones(1, 2, 1, 1)).flatten()
    tensor([1.5000, 1.5000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, block: nn.Module, channels: int, initial: float = 1e-6, drop_rate: float = 0.0):
        super().__init__()
        self.block = block
        self.layer_scale = nn.Parameter(torch.full((positive(channels, "channels"), 1, 1), initial))
        self.stochastic_depth = StochasticDepth(drop_rate) if drop_rate else None
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.block(x)
        if branch.shape != x.shape:
            raise ShapeError(f"the block makes {tuple(branch.shape)} of {tuple(x.shape)}, which can't be added")
        if self.stochastic_depth is not None:
            branch = self.stochastic_depth(branch)
        return self.add(self.layer_scale * branch, x)


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: each channel is multiplied by a gate in [0, 1], computed from the means of all channels.

    (N, channels, H, W) -> the same, or the same without N; floating. The means go through two dense layers, written as
    1×1 convolutions: to `squeezed` channels, and back. Source: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", 2018,
    section 3.

    Args:
        activation: after the first of the two; ReLU in the paper.
        gate: after the second; the sigmoid in the paper, its piecewise linear form in MobileNetV3.

    Raises ArgumentError for a number that is not positive, and ShapeError for a tensor that is no image or has another
    number of channels.

    >>> import torch
    >>> SqueezeExcitation(16, 4)(torch.zeros(1, 16, 7, 7)).shape
    torch.Size([1, 16, 7, 7])
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: type[nn.Module] = nn.ReLU,
        gate: type[nn.Module] = nn.Sigmoid,
    ):
        super().__init__()
        self.pool = GlobalAvgPool2d(keepdim=True)
        self.fc1 = nn.Conv2d(positive(channels, "channels"), positive(squeezed, "squeezed"), kernel_size=1)
        self.activation = activation()
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        image_size(x, "SqueezeExcitation", self.fc1.in_channels)
        squeezed = self.activation(self.fc1(self.pool(x)))
        return x * self.gate(self.fc2(squeezed))


class InvertedResidual(nn.Module):
    """Inverted residual block: 1×1 to more channels, depthwise, squeeze-and-excitation if any, 1×1 without activation.

    (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride)); floating. The input is added where it has the
    output's shape. Sources: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", 2018, section 3.3; with squeeze-and-excitation Howard et al., "Searching for MobileNetV3", 2019,
    section 5.3.

    Args:
        expanded: channels of the depthwise convolution; if they are as many as the inputs there is no 1×1 before it.
        squeeze: acts on the `expanded` channels.
        norm: makes the normalisation after each convolution, given its channels.
        drop_rate: probability with which training leaves a branch out of the sum, see `StochasticDepth`.

    >>> import torch
    >>> InvertedResidual(16, 64, 24, kernel_size=3, stride=2)(torch.zeros(1, 16, 9, 9)).shape
    torch.Size([1, 24, 5, 5])
    """

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        kernel_size: int,
        stride: int = 1,
        activation: type[nn.Module] = nn.ReLU6,
        squeeze: nn.Module | None = None,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        drop_rate: float = 0.0,
    ):
        super().__init__()
        block: list[nn.Module] = []
        if expanded != inputs:
            block.append(conv_norm(inputs, expanded, 1, activation=activation, norm=norm))
        block.append(conv_norm(expanded, expanded, kernel_size, stride, expanded, activation, norm))
        if squeeze is not None:
            block.append(squeeze)
        block.append(conv_norm(expanded, outputs, 1, activation=None, norm=norm))
        self.block = nn.Sequential(*block)
        residual = stride == 1 and inputs == outputs
        self.stochastic_depth = StochasticDepth(drop_rate) if residual and drop_rate else None
        self.add = Add() if residual else None

    def forward(self, x: Tensor) -> Tensor:
        branch = self.block(x)
        if self.stochastic_depth is not None:
            branch = self.stochastic_depth(branch)
        return branch if self.add is None else self.add(branch, x)
