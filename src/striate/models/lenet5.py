"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998), as published and with today's layers.

layer  type       maps  size   kernel  parameters  connections
in     input      1     32×32
C1     conv       6     28×28  5×5     156         122,304
S2     subsample  6     14×14  2×2     12          5,880
C3     conv       16    10×10  5×5     1,516       151,600      connected as Table I says
S4     subsample  16    5×5    2×2     32          2,000
C5     conv       120   1×1    5×5     48,120      48,120
F6     dense      84                   10,164      10,164
out    RBF        10                               840
                                       60,000      340,908

Every layer up to F6 is followed by the squashing function 1.7159 tanh(⅔ a).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.layers import (
    LENET5_C3_TABLE,
    AvgPool2d,
    PartialConv2d,
    RBFOutput,
    ScaledTanh,
    Subsampling2d,
    digit_prototypes,
    fan_in_uniform_,
)
from striate.models.registry import Facts, register

FIELD = 32  # the input field, in pixels; smaller images are centred in it
BACKGROUND, FOREGROUND = -0.1, 1.175  # section II.B: mean about 0, variance about 1
MEAN, STD = -BACKGROUND / (FOREGROUND - BACKGROUND), 1 / (FOREGROUND - BACKGROUND)
SOURCE = "LeCun, Bottou, Bengio, Haffner 1998, section II.B"


class _Padding(nn.Module):
    """Padding that centres an image in the 32×32 input field, filled with the background's value."""

    def __init__(self, name: str, image_size: tuple[int, int]):
        super().__init__()
        height, width = image_size
        if max(image_size) > FIELD:
            raise ShapeError(
                f"{name} has an input field of {FIELD}×{FIELD} pixels, got images of {height}×{width}: "
                f"pass --image-size {FIELD} or less."
            )
        top, left = (FIELD - height) // 2, (FIELD - width) // 2
        self.margins = (left, FIELD - width - left, top, FIELD - height - top)

    def extra_repr(self) -> str:
        return f"margins={self.margins}, background={BACKGROUND}"

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.margins, value=BACKGROUND) if any(self.margins) else x


@register(Facts("lenet5", "LeNet-5 as published in 1998", SOURCE, loss="map", image_size=28, mean=MEAN, std=STD))
class LeNet5(nn.Module):
    """LeNet-5 as published: (N, channels, height, width), sides up to 32, to logits (N, classes).

    The input is normalised to −0.1 (background) … 1.175 (ink). The logits are the RBF units' squared distances y with
    the sign reversed, so the largest logit is the nearest prototype, and softmax over them is the paper's posterior.

    60,000 trainable parameters with one input channel. The prototypes are those of the digits 0 … 9, so there are at
    most 10 classes; the k-th class gets the k-th digit's.

    Raises:
        ArgumentError: for more than 10 classes.
        ShapeError: for images larger than 32×32.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int]):
        super().__init__()
        prototypes = digit_prototypes()
        if classes > len(prototypes):
            raise ArgumentError(
                f"lenet5 has output prototypes for {len(prototypes)} classes, got {classes}: use lenet5_modern."
            )
        self.field = _Padding("lenet5", image_size)
        self.c1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.squash1 = ScaledTanh()
        self.s2 = Subsampling2d(6)
        self.squash2 = ScaledTanh()
        self.c3 = PartialConv2d(LENET5_C3_TABLE, 6, kernel_size=5)
        self.squash3 = ScaledTanh()
        self.s4 = Subsampling2d(16)
        self.squash4 = ScaledTanh()
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.squash5 = ScaledTanh()
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, 84)
        self.squash6 = ScaledTanh()
        self.output = RBFOutput(prototypes[:classes])
        for layer in (self.c1, self.c5, self.f6):
            fan_in_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch: minus the squared distance to each class's prototype."""
        x = self.field(x)  # (N, 1, 32, 32)
        x = self.squash1(self.c1(x))  # (N, 6, 28, 28)
        x = self.squash2(self.s2(x))  # (N, 6, 14, 14)
        x = self.squash3(self.c3(x))  # (N, 16, 10, 10)
        x = self.squash4(self.s4(x))  # (N, 16, 5, 5)
        x = self.squash5(self.c5(x))  # (N, 120, 1, 1)
        x = self.squash6(self.f6(self.flatten(x)))  # (N, 84)
        distances: Tensor = self.output(x)
        return -distances


@register(Facts("lenet5_modern", "LeNet-5's shape with today's parts", SOURCE, image_size=28, mean=MEAN, std=STD))
class LeNet5Modern(nn.Module):
    """LeNet-5 with today's layers: (N, channels, height, width), sides up to 32, to logits (N, classes).

    C3 is connected to every channel, subsampling is plain average pooling, ReLU replaces tanh, and a dense layer with
    cross-entropy replaces the RBF units. 61,706 parameters for one channel and 10 classes.

    Raises:
        ShapeError: for images larger than 32×32.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int]):
        super().__init__()
        self.field = _Padding("lenet5_modern", image_size)
        self.c1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.relu1 = nn.ReLU()
        self.s2 = AvgPool2d(2)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.relu3 = nn.ReLU()
        self.s4 = AvgPool2d(2)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.relu5 = nn.ReLU()
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, 84)
        self.relu6 = nn.ReLU()
        self.output = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.field(x)  # (N, 1, 32, 32)
        x = self.s2(self.relu1(self.c1(x)))  # (N, 6, 14, 14)
        x = self.s4(self.relu3(self.c3(x)))  # (N, 16, 5, 5)
        x = self.relu5(self.c5(x))  # (N, 120, 1, 1)
        x = self.relu6(self.f6(self.flatten(x)))  # (N, 84)
        logits: Tensor = self.output(x)
        return logits
