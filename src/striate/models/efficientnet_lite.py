"""EfficientNet-Lite (Liu, 2020): EfficientNet (Tan and Le, 2019) for phones and integer arithmetic, five sizes.

layer      block        stride  output   lite0    lite1    lite2    lite3    lite4     (blocks × channels)
conv_stem  conv 3×3     2       112×112      32       32       32       32       32
blocks.0   MB1, 3×3     1       112×112  1 × 16   1 × 16   1 × 16   1 × 24   1 × 24
blocks.1   MB6, 3×3     2       56×56    2 × 24   3 × 24   3 × 24   3 × 32   4 × 32
blocks.2   MB6, 5×5     2       28×28    2 × 40   3 × 40   3 × 48   3 × 48   4 × 56
blocks.3   MB6, 3×3     2       14×14    3 × 80   4 × 80   4 × 88   5 × 96   6 × 112
blocks.4   MB6, 5×5     1       14×14    3 × 112  4 × 112  4 × 120  5 × 136  6 × 160
blocks.5   MB6, 5×5     2       7×7      4 × 192  5 × 192  5 × 208  6 × 232  8 × 272
blocks.6   MB6, 3×3     1       7×7      1 × 320  1 × 320  1 × 352  1 × 384  1 × 448
conv_head  conv 1×1     1       7×7        1280     1280     1280     1280     1280
           average, dropout, dense (classifier), softmax (in the loss)
image                                       224      240      260      280      300
dropout                                     0.2      0.2      0.3      0.3      0.3
parameters                                4.65 M   5.42 M   6.09 M   8.20 M  13.01 M

MBe is an inverted residual block (Sandler et al., 2018): conv 1×1 to e times as many channels, depthwise conv, conv 1×1
to the new number of channels without an activation. The input is added where it has the output's shape. The stride is
the first block's of a stage; the sizes are those of 224×224 pixels. After every convolution comes batch normalisation,
and ReLU6. Compared with EfficientNet there is no squeeze-and-excitation, ReLU6 takes the place of swish, and stem, head
and the number of blocks of the first and last stage are not scaled.

Padding is TensorFlow's "same". Names and shapes are those of timm's models of these names (its weights are called
tf_efficientnet_lite0 to 4), and files of the package efficientnet-lite-pytorch have their names replaced: the weights
of either load as they are.

With stem=small, for images of about 32 pixels, conv_stem has a stride of 1.
"""

import math
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from striate.layers import Add, GlobalAvgPool2d, SameConv2d, StochasticDepth
from striate.models.efficientnet import DROP_RATE, HEAD_CHANNELS, SMALLEST, STAGES, STEM_CHANNELS
from striate.models.initialization import fan_out_normal, normal_dense
from striate.models.mobilenet_v3 import divisible
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import LITE

SOURCE = "Liu 2020, after Tan and Le 2019"

_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)  # TensorFlow counts momentum from the other end: 0.99


class Scale(NamedTuple):
    """Scaling of one size: factors of channels and of blocks, pixels of the image, dropout."""

    width: float
    depth: float
    image: int
    dropout: float


SCALES = (
    Scale(1.0, 1.0, 224, 0.2),
    Scale(1.0, 1.1, 240, 0.2),
    Scale(1.1, 1.2, 260, 0.3),
    Scale(1.2, 1.4, 280, 0.3),
    Scale(1.4, 1.8, 300, 0.3),
)


class FirstBlock(nn.Module):
    """MB1: depthwise convolution, then 1×1: (N, channels, H, W) to (N, made, H, W)."""

    def __init__(self, channels: int, made: int, kernel: int):
        super().__init__()
        self.conv_dw = SameConv2d(channels, channels, kernel, groups=channels, bias=False)
        self.bn1 = _norm(channels)
        self.relu1 = nn.ReLU6()
        self.conv_pw = nn.Conv2d(channels, made, kernel_size=1, bias=False)
        self.bn2 = _norm(made)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        return self.bn2(self.conv_pw(self.relu1(self.bn1(self.conv_dw(x)))))


class Block(nn.Module):
    """MB6: 1×1 to `expanded` channels, depthwise, 1×1: (N, channels, H, W) to (N, made, H / stride, W / stride).

    Args:
        drop_rate: the probability with which training leaves the branch out of the sum with the input, if there is one.
    """

    def __init__(self, channels: int, expanded: int, made: int, kernel: int, stride: int, drop_rate: float):
        super().__init__()
        self.conv_pw = nn.Conv2d(channels, expanded, kernel_size=1, bias=False)
        self.bn1 = _norm(expanded)
        self.relu1 = nn.ReLU6()
        self.conv_dw = SameConv2d(expanded, expanded, kernel, stride, groups=expanded, bias=False)
        self.bn2 = _norm(expanded)
        self.relu2 = nn.ReLU6()
        self.conv_pwl = nn.Conv2d(expanded, made, kernel_size=1, bias=False)
        self.bn3 = _norm(made)
        residual = stride == 1 and channels == made
        self.drop_path = StochasticDepth(drop_rate) if residual else None
        self.add = Add() if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output; sides that the stride does not divide are rounded up."""
        branch = self.relu1(self.bn1(self.conv_pw(x)))
        branch = self.relu2(self.bn2(self.conv_dw(branch)))
        branch = self.bn3(self.conv_pwl(branch))
        return branch if self.add is None or self.drop_path is None else self.add(self.drop_path(branch), x)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite: (N, channels, height, width) to logits (N, classes).

    Convolutions start normal by fan-out, the dense layer with deviation 0.01: the authors' ±1 / sqrt(classes) is too
    much for few classes.

    Args:
        number: 0 to 4, the column of the table.
        image_size: both sides at least 17 pixels with the stem "imagenet", 9 with "small".
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(
        self, classes: int, channels: int, image_size: tuple[int, int], number: int = 0, stem: str = "imagenet"
    ):
        super().__init__()
        check_size(f"efficientnet_lite{number}", stem, image_size, SMALLEST)
        scale = SCALES[number]
        self.conv_stem = SameConv2d(channels, STEM_CHANNELS, 3, stride=2 if stem == "imagenet" else 1, bias=False)
        self.bn1 = _norm(STEM_CHANNELS)
        self.relu1 = nn.ReLU6()
        self.blocks = _stages(scale)
        self.conv_head = nn.Conv2d(divisible(STAGES[-1].channels * scale.width), HEAD_CHANNELS, 1, bias=False)
        self.bn2 = _norm(HEAD_CHANNELS)
        self.relu2 = nn.ReLU6()
        self.avgpool = GlobalAvgPool2d()
        self.dropout = nn.Dropout(scale.dropout)
        self.classifier = nn.Linear(HEAD_CHANNELS, classes)
        self.aliases = _aliases(self.blocks)
        fan_out_normal(self)
        normal_dense(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch; the shapes noted are those of lite0."""
        x = self.relu1(self.bn1(self.conv_stem(x)))  # (N, 32, 112, 112)
        x = self.blocks(x)  # (N, 320, 7, 7)
        x = self.relu2(self.bn2(self.conv_head(x)))  # (N, 1280, 7, 7)
        logits: Tensor = self.classifier(self.dropout(self.avgpool(x)))
        return logits


def _stages(scale: Scale) -> nn.Sequential:
    """Make all blocks, stage by stage."""
    ends = (STAGES[0], STAGES[-1])
    depths = [stage.blocks if stage in ends else math.ceil(stage.blocks * scale.depth) for stage in STAGES]
    channels, done, stages = STEM_CHANNELS, 0, []
    for stage, depth in zip(STAGES, depths, strict=True):
        made, blocks = divisible(stage.channels * scale.width), nn.Sequential()
        for number in range(depth):
            stride, drop_rate = 1 if number else stage.stride, DROP_RATE * done / sum(depths)
            if stage.expansion == 1:
                blocks.append(FirstBlock(channels, made, stage.kernel))
            else:
                blocks.append(Block(channels, stage.expansion * channels, made, stage.kernel, stride, drop_rate))
            channels, done = made, done + 1
        stages.append(blocks)
    return nn.Sequential(*stages)


def _aliases(stages: nn.Sequential) -> dict[str, str]:
    """Paths of the layers by the names they have in efficientnet-lite-pytorch, which counts all blocks as one row."""
    names = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    others |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    blocks = [
        (f"blocks.{stage}.{position}", block)
        for stage, row in stages.named_children()
        for position, block in row.named_children()
    ]
    for number, (path, block) in enumerate(blocks):
        layers = first if isinstance(block, FirstBlock) else others
        names |= {f"_blocks.{number}.{there}": f"{path}.{here}" for there, here in layers.items()}
    return names


for _number, _scale in enumerate(SCALES):
    _facts = Facts(
        f"efficientnet_lite{_number}",
        f"EfficientNet-Lite{_number}, for phones and integer arithmetic",
        SOURCE,
        options={"stem": STEM},
        normalization=LITE,
        published_size=(_scale.image, _scale.image),
    )
    register(_facts)(partial(EfficientNetLite, number=_number))
