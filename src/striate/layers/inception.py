"""Inception module: convolutions of three sizes and a pooling in parallel, their channels concatenated.

Source: Szegedy et al., "Going Deeper with Convolutions", 2014, section 4 and figure 2(b).
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from striate.layers.pooling import MaxPool2d

NORM_EPSILON = 0.001  # what TensorFlow's and torchvision's GoogLeNet add to the variance


def conv_relu(inputs: int, outputs: int, kernel_size: int, stride: int = 1, norm: bool = False) -> nn.Sequential:
    """Return a convolution `conv`, with `norm` a batch normalisation `bn` instead of its bias, and a ReLU `relu`.

    (N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride)): `kernel_size` is odd, and half of it is
    padded on each side.
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
