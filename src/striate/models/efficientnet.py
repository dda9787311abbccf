"""EfficientNet-B0 (Tan and Le, 2019), as in table 1: the network whose scaling gives the others of the paper.

layer       block     kernel  expansion  blocks × channels  stride  output
features.0  conv      3×3                32                 2       112×112
features.1  MB        3×3     1          1 × 16             1       112×112
features.2  MB        3×3     6          2 × 24             2       56×56
features.3  MB        5×5     6          2 × 40             2       28×28
features.4  MB        3×3     6          3 × 80             2       14×14
features.5  MB        5×5     6          3 × 112            1       14×14
features.6  MB        5×5     6          4 × 192            2       7×7
features.7  MB        3×3     6          1 × 320            1       7×7
features.8  conv      1×1                1280               1       7×7
avgpool     average                                                 1×1
classifier  dropout 0.2, dense, softmax (in the loss)

MB is an inverted residual block, `layers.InvertedResidual`: conv 1×1 to expansion times as many channels (left out
where that is 1), depthwise conv, squeeze-and-excitation to a quarter of the block's input channels, conv 1×1 without an
activation. The input is added where it has the output's shape. The stride is the first block's of a stage. After every
convolution comes batch normalisation, and the activation is x · sigmoid(x), swish or SiLU.

Padding is equal on both sides. Names and shapes are torchvision's, so that its weights load as they are. With
stem=small, for images of about 32 pixels, features.0 has a stride of 1.
"""

from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from striate.layers import GlobalAvgPool2d, InvertedResidual, SqueezeExcitation, conv_norm
from striate.models.initialization import fan_out_normal, normal_dense
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Tan and Le 2019, table 1"


class Stage(NamedTuple):
    """A stage's row of the table; the stride is that of its first block."""

    kernel: int
    expansion: int
    blocks: int
    channels: int
    stride: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 6, 2, 24, 2),
    Stage(5, 6, 2, 40, 2),
    Stage(3, 6, 3, 80, 2),
    Stage(5, 6, 3, 112, 1),
    Stage(5, 6, 4, 192, 2),
    Stage(3, 6, 1, 320, 1),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
DROP_RATE = 0.2  # stochastic depth's probability for the last block; it grows evenly from 0 for the first
SMALLEST = {"imagenet": 17, "small": 9}  # sides that leave the last stage with a stride two pixels to halve


@register(Facts("efficientnet_b0", "EfficientNet-B0", SOURCE, options={"stem": STEM}, normalization=IMAGENET))
class EfficientNetB0(nn.Module):
    """EfficientNet-B0: (N, channels, height, width) to logits (N, classes).

    5,288,548 parameters for colour images and 1,000 classes. Convolutions start normal by fan-out, the dense layer
    with deviation 0.01: the authors' ±1 / sqrt(classes) is too much for few classes.

    Args:
        image_size: both sides at least 17 pixels with the stem "imagenet", 9 with "small".
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("efficientnet_b0", stem, image_size, SMALLEST)
        unit = partial(conv_norm, activation=nn.SiLU)
        layers: list[nn.Module] = [unit(channels, STEM_CHANNELS, 3, stride=2 if stem == "imagenet" else 1)]
        width, done, total = STEM_CHANNELS, 0, sum(stage.blocks for stage in STAGES)
        for stage in STAGES:
            blocks = []
            for number in range(stage.blocks):
                stride, drop_rate = 1 if number else stage.stride, DROP_RATE * done / total
                blocks.append(_block(width, stage, stride, drop_rate))
                width, done = stage.channels, done + 1
            layers.append(nn.Sequential(*blocks))
        layers.append(unit(width, HEAD_CHANNELS, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = GlobalAvgPool2d()
        output = nn.Linear(HEAD_CHANNELS, classes)
        self.classifier = nn.Sequential(nn.Dropout(0.2), output)
        fan_out_normal(self)
        normal_dense(output)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.features(x)  # (N, 1280, 7, 7)
        logits: Tensor = self.classifier(self.avgpool(x))
        return logits


def _block(inputs: int, stage: Stage, stride: int, drop_rate: float) -> InvertedResidual:
    expanded = stage.expansion * inputs
    squeeze = SqueezeExcitation(expanded, inputs // 4, activation=nn.SiLU)
    return InvertedResidual(
        inputs, expanded, stage.channels, stage.kernel, stride, nn.SiLU, squeeze, drop_rate=drop_rate
    )
