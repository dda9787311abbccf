"""Inverted residual block: a depthwise convolution on more channels than enter and leave the block.

Source: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, section
3.3; with squeeze-and-excitation Howard et al., "Searching for MobileNetV3", 2019, section 5.3.
"""

from collections.abc import Callable

from torch import Tensor, nn

from striate.layers.blocks import Add
from striate.layers.stochastic_depth import StochasticDepth


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


class InvertedResidual(nn.Module):
    """Inverted residual block: 1×1 to more channels, depthwise, squeeze-and-excitation if any, 1×1 without activation.

    (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride)); floating. The input is added where it has the
    output's shape.

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
