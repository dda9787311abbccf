"""Squeeze-and-excitation networks (Hu, Shen and Sun, 2018): SE-ResNet-50 of table 1, and SENet-154, which won in 2017.

layer    size     seresnet50              senet154
conv1    112×112  conv 7×7, 64, stride 2  conv 3×3, 64, stride 2; conv 3×3, 64; conv 3×3, 128 channels
         56×56    max pool 3×3, stride 2  max pool 3×3, stride 2
conv2_x  56×56    3 × N(64, 64, 256)      3 × N(128, 256 in 64 groups, 256)
conv3_x  28×28    4 × N(128, 128, 512)    8 × N(256, 512 in 64 groups, 512)
conv4_x  14×14    6 × N(256, 256, 1024)   36 × N(512, 1024 in 64 groups, 1024)
conv5_x  7×7      3 × N(512, 512, 2048)   3 × N(1024, 2048 in 64 groups, 2048)
         1×1      average pool, dense     average pool, dropout 0.2, dense; softmax (in the loss)
multiply-adds     4.1·10⁹                 20.7·10⁹

N(a, b, c) is a bottleneck: conv 1×1 to a channels, conv 3×3 to b, conv 1×1 to c, and squeeze-and-excitation to c / 16
channels before the shortcut is added. SENet-154 is a ResNeXt-152 of 64 groups with half the channels in the first
convolution of each block, and with shortcuts of 3×3 where there is a stride (the paper's appendix). All else is as in
resnet.py; the stride of a stage is that of the first 3×3 convolution.

Parameters have the names of timm's models of these names, so its weights load as they are.

With stem=small, for images of about 32 pixels, conv1 has no stride (and seresnet50's is 3×3), and there is no pooling.
"""

from functools import partial

from torch import Tensor, nn

from striate.layers import GlobalAvgPool2d
from striate.models.initialization import fan_out_normal
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.resnet import OPTIONS, SMALLEST, Bottleneck, Layout, ResNet, Style, projection, stage
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Hu, Shen, Sun 2018"
REDUCTION = 16

_facts = Facts(
    "seresnet50",
    "SE-ResNet-50, with squeeze-and-excitation",
    f"{SOURCE}, table 1",
    options={name: option for name, option in OPTIONS.items() if name != "downsample"},
    normalization=IMAGENET,
)
register(_facts)(partial(ResNet, layout=Layout("seresnet50", (3, 4, 6, 3), Style(reduction=REDUCTION))))


@register(
    Facts(
        "senet154",
        "SENet-154, winner of the last ImageNet contest",
        f"{SOURCE}, appendix",
        options={"stem": STEM},
        normalization=IMAGENET,
    )
)
class SENet154(nn.Module):
    """SENet-154: (N, channels, height, width) to logits (N, classes).

    115,088,984 parameters for colour images and 1,000 classes. Convolutions start normal by fan-out.

    Args:
        image_size: both sides at least 17 pixels with the stem "imagenet", 5 with "small".
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("senet154", stem, image_size, SMALLEST)
        large = stem == "imagenet"
        make = partial(Bottleneck, style=Style(groups=64, group_width=4, reduction=REDUCTION, halved=True))
        self.conv1 = nn.Sequential(
            nn.Conv2d(channels, 64, 3, stride=2 if large else 1, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(128)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        self.layer1 = stage(make, 128, 64, 256, 3, 1, projection)
        self.layer2 = stage(make, 256, 128, 512, 8, 2, _wide_projection)
        self.layer3 = stage(make, 512, 256, 1024, 36, 2, _wide_projection)
        self.layer4 = stage(make, 1024, 512, 2048, 3, 2, _wide_projection)
        self.avgpool = GlobalAvgPool2d()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(2048, classes)
        fan_out_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 128, 112, 112)
        x = self.maxpool(x)  # (N, 128, 56, 56)
        x = self.layer1(x)  # (N, 256, 56, 56)
        x = self.layer2(x)  # (N, 512, 28, 28)
        x = self.layer3(x)  # (N, 1024, 14, 14)
        x = self.layer4(x)  # (N, 2048, 7, 7)
        x = self.avgpool(x)  # (N, 2048)
        logits: Tensor = self.fc(self.dropout(x))
        return logits


def _wide_projection(channels: int, made: int, stride: int) -> nn.Module:
    """A shortcut that looks at all pixels although it has a stride: a 3×3 convolution and batch normalisation."""
    return nn.Sequential(nn.Conv2d(channels, made, 3, stride, padding=1, bias=False), nn.BatchNorm2d(made))
