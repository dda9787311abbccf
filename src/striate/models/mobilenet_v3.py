"""MobileNetV3-Large (Howard et al., 2019), as in table 1: found by a search for what is quick on a phone.

layer        block     kernel  expanded  channels  SE   activation  stride  output
features.0   conv      3×3               16             hard swish  2       112×112
features.1   IR        3×3     16        16             ReLU        1       112×112
features.2   IR        3×3     64        24             ReLU        2       56×56
features.3   IR        3×3     72        24             ReLU        1       56×56
features.4   IR        5×5     72        40        yes  ReLU        2       28×28
features.5   IR        5×5     120       40        yes  ReLU        1       28×28
features.6   IR        5×5     120       40        yes  ReLU        1       28×28
features.7   IR        3×3     240       80             hard swish  2       14×14
features.8   IR        3×3     200       80             hard swish  1       14×14
features.9   IR        3×3     184       80             hard swish  1       14×14
features.10  IR        3×3     184       80             hard swish  1       14×14
features.11  IR        3×3     480       112       yes  hard swish  1       14×14
features.12  IR        3×3     672       112       yes  hard swish  1       14×14
features.13  IR        5×5     672       160       yes  hard swish  2       7×7
features.14  IR        5×5     960       160       yes  hard swish  1       7×7
features.15  IR        5×5     960       160       yes  hard swish  1       7×7
features.16  conv      1×1               960            hard swish  1       7×7
avgpool      average                                                        1×1
classifier   dense 1280, hard swish, dropout 0.2, dense, softmax (in the loss)

IR is an inverted residual block, `layers.InvertedResidual`: conv 1×1 to the expanded channels, depthwise conv,
squeeze-and-excitation (SE) to a quarter of the channels with a piecewise linear gate, conv 1×1 without an activation.
The input is added where it has the output's shape. After every convolution comes batch normalisation. The hard swish is
x · ReLU6(x + 3) / 6.

Names and shapes are torchvision's, so that its weights load as they are. With stem=small, for images of about 32
pixels, features.0 has a stride of 1.
"""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from striate.layers import GlobalAvgPool2d, InvertedResidual, SqueezeExcitation, conv_norm
from striate.models.initialization import fan_out_normal, normal_dense
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Howard et al. 2019, table 1"


class Row(NamedTuple):
    """A block's row of the table."""

    kernel: int
    expanded: int
    channels: int
    squeezes: bool
    activation: type[nn.Module]
    stride: int


TABLE = (
    Row(3, 16, 16, False, nn.ReLU, 1),
    Row(3, 64, 24, False, nn.ReLU, 2),
    Row(3, 72, 24, False, nn.ReLU, 1),
    Row(5, 72, 40, True, nn.ReLU, 2),
    Row(5, 120, 40, True, nn.ReLU, 1),
    Row(5, 120, 40, True, nn.ReLU, 1),
    Row(3, 240, 80, False, nn.Hardswish, 2),
    Row(3, 200, 80, False, nn.Hardswish, 1),
    Row(3, 184, 80, False, nn.Hardswish, 1),
    Row(3, 184, 80, False, nn.Hardswish, 1),
    Row(3, 480, 112, True, nn.Hardswish, 1),
    Row(3, 672, 112, True, nn.Hardswish, 1),
    Row(5, 672, 160, True, nn.Hardswish, 2),
    Row(5, 960, 160, True, nn.Hardswish, 1),
    Row(5, 960, 160, True, nn.Hardswish, 1),
)
STEM_CHANNELS, HEAD_CHANNELS, UNITS = 16, 960, 1280
SMALLEST = {"imagenet": 17, "small": 9}  # sides that leave the last stage with a stride two pixels to halve

STEP = 8  # to whose multiples channels are rounded
LEAST_SHARE = 0.9  # of the channels that are asked for, which rounding leaves

_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)  # TensorFlow counts momentum from the other end: 0.99


@register(
    Facts(
        "mobilenet_v3_large",
        "MobileNetV3-Large, for phones",
        SOURCE,
        options={"stem": STEM},
        normalization=IMAGENET,
    )
)
class MobileNetV3Large(nn.Module):
    """MobileNetV3-Large: (N, channels, height, width) to logits (N, classes).

    5,483,032 parameters for colour images and 1,000 classes. Convolutions start normal by fan-out, dense layers with
    deviation 0.01.

    Args:
        image_size: both sides at least 17 pixels with the stem "imagenet", 9 with "small".
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("mobilenet_v3_large", stem, image_size, SMALLEST)
        unit = partial(conv_norm, activation=nn.Hardswish, norm=_norm)
        layers: list[nn.Module] = [unit(channels, STEM_CHANNELS, 3, stride=2 if stem == "imagenet" else 1)]
        width = STEM_CHANNELS
        for row in TABLE:
            layers.append(_block(width, row))
            width = row.channels
        layers.append(unit(width, HEAD_CHANNELS, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = GlobalAvgPool2d()
        hidden, output = nn.Linear(HEAD_CHANNELS, UNITS), nn.Linear(UNITS, classes)
        self.classifier = nn.Sequential(hidden, nn.Hardswish(), nn.Dropout(0.2), output)
        fan_out_normal(self)
        normal_dense(hidden, output)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.features(x)  # (N, 960, 7, 7)
        logits: Tensor = self.classifier(self.avgpool(x))
        return logits


def _block(inputs: int, row: Row) -> InvertedResidual:
    squeeze = (
        SqueezeExcitation(row.expanded, divisible(row.expanded / 4), gate=nn.Hardsigmoid) if row.squeezes else None
    )
    return InvertedResidual(
        inputs, row.expanded, row.channels, row.kernel, row.stride, row.activation, squeeze, norm=_norm
    )


def divisible(channels: float) -> int:
    """Return the nearest multiple of 8 channels, at least 8; the next one if the nearest is less than 90 % of them.

    Source: Sandler et al. 2018, the authors' program.

    >>> divisible(40), divisible(44), divisible(19.2), divisible(3)
    (40, 48, 24, 8)
    """
    nearest = max(STEP, int(channels + STEP / 2) // STEP * STEP)
    return nearest if nearest >= LEAST_SHARE * channels else nearest + STEP
