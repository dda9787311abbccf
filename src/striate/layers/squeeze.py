"""Squeeze-and-excitation: channels weighted by what the whole image holds.

Source: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", 2018, section 3.
"""

from torch import Tensor, nn

from striate.layers.padding import image_size, positive
from striate.layers.pooling import GlobalAvgPool2d


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: each channel is multiplied by a gate in [0, 1], computed from the means of all channels.

    (N, channels, H, W) -> the same, or the same without N; floating. The means go through two dense layers, written as
    1×1 convolutions: to `squeezed` channels, and back.

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
