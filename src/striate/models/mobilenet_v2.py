"""MobileNetV2 (Sandler et al., 2018), as in table 2: inverted residual blocks with linear bottlenecks.

layer           block      expansion  blocks × channels  stride  output
features.0      conv 3×3              32                 2       112×112
features.1      IR         1          1 × 16             1       112×112
features.2-3    IR         6          2 × 24             2       56×56
features.4-6    IR         6          3 × 32             2       28×28
features.7-10   IR         6          4 × 64             2       14×14
features.11-13  IR         6          3 × 96             1       14×14
features.14-16  IR         6          3 × 160            2       7×7
features.17     IR         6          1 × 320            1       7×7
features.18     conv 1×1              1280               1       7×7
avgpool         average                                          1×1
classifier      dropout 0.2, dense, softmax (in the loss)

IR is an inverted residual block: conv 1×1 to expansion times as many channels (left out where that is 1), depthwise
conv 3×3, conv 1×1 to the new number of channels without an activation: a narrow layer that is rectified would lose
information. The input is added where it has the output's shape. The stride is the first block's. After every
convolution comes batch normalisation, and ReLU6.

Names and shapes are torchvision's, so that its weights load as they are. With stem=small, for images of about 32
pixels, features.0 has a stride of 1.
"""

from torch import Tensor, nn

from striate.layers import Add, GlobalAvgPool2d, conv_norm
from striate.models.initialization import fan_out_normal, normal_dense
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Sandler, Howard, Zhu, Zhmoginov, Chen 2018, table 2"
TABLE = (  # expansion, blocks, channels, stride
    (1, 1, 16, 1),
    (6, 2, 24, 2),
    (6, 3, 32, 2),
    (6, 4, 64, 2),
    (6, 3, 96, 1),
    (6, 3, 160, 2),
    (6, 1, 320, 1),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
SMALLEST = {"imagenet": 17, "small": 9}  # sides that leave the last stage with a stride two pixels to halve


class Block(nn.Module):
    """Inverted residual block by torchvision's names: (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, expansion: int, outputs: int, stride: int):
        super().__init__()
        expanded = expansion * inputs
        expand = [conv_norm(inputs, expanded, 1, activation=nn.ReLU6)] if expansion > 1 else []
        depthwise = conv_norm(expanded, expanded, 3, stride, groups=expanded, activation=nn.ReLU6)
        project = nn.Conv2d(expanded, outputs, kernel_size=1, bias=False)
        self.conv = nn.Sequential(*expand, depthwise, project, nn.BatchNorm2d(outputs))
        self.add = Add() if stride == 1 and inputs == outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output; sides that the stride does not divide are rounded up."""
        branch = self.conv(x)
        return branch if self.add is None else self.add(branch, x)


@register(Facts("mobilenet_v2", "MobileNetV2, for phones", SOURCE, options={"stem": STEM}, normalization=IMAGENET))
class MobileNetV2(nn.Module):
    """MobileNetV2: (N, channels, height, width) to logits (N, classes).

    3,504,872 parameters for colour images and 1,000 classes. Convolutions start normal by fan-out, the dense layer with
    deviation 0.01.

    Args:
        image_size: both sides at least 17 pixels with the stem "imagenet", 9 with "small".
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("mobilenet_v2", stem, image_size, SMALLEST)
        layers: list[nn.Module] = [
            conv_norm(channels, STEM_CHANNELS, 3, stride=2 if stem == "imagenet" else 1, activation=nn.ReLU6)
        ]
        width = STEM_CHANNELS
        for expansion, blocks, made, stride in TABLE:
            for number in range(blocks):
                layers.append(Block(width, expansion, made, 1 if number else stride))
                width = made
        layers.append(conv_norm(width, HEAD_CHANNELS, 1, activation=nn.ReLU6))
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
