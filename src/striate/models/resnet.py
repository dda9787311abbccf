"""Residual networks (He, Zhang, Ren and Sun, 2015): those of table 1, and those for CIFAR-10 of section 4.2.

layer    size     resnet18    resnet34    resnet50          resnet101          resnet152
conv1    112×112  conv 7×7, 64 maps, stride 2
         56×56    max pool 3×3, stride 2
conv2_x  56×56    2 × B(64)   3 × B(64)   3 × N(64, 256)    3 × N(64, 256)     3 × N(64, 256)
conv3_x  28×28    2 × B(128)  4 × B(128)  4 × N(128, 512)   4 × N(128, 512)    8 × N(128, 512)
conv4_x  14×14    2 × B(256)  6 × B(256)  6 × N(256, 1024)  23 × N(256, 1024)  36 × N(256, 1024)
conv5_x  7×7      2 × B(512)  3 × B(512)  3 × N(512, 2048)  3 × N(512, 2048)   3 × N(512, 2048)
         1×1      average pool, dense, softmax (in the loss)
multiply-adds     1.8·10⁹     3.6·10⁹     3.8·10⁹           7.6·10⁹            11.3·10⁹

layer    size     resnet20    resnet32    resnet44          resnet56           resnet110
conv1    32×32    conv 3×3, 16 maps
conv2_x  32×32    3 × B(16)   5 × B(16)   7 × B(16)         9 × B(16)          18 × B(16)
conv3_x  16×16    3 × B(32)   5 × B(32)   7 × B(32)         9 × B(32)          18 × B(32)
conv4_x  8×8      3 × B(64)   5 × B(64)   7 × B(64)         9 × B(64)          18 × B(64)
         1×1      average pool, dense, softmax (in the loss)

B(c) is a basic block: conv 3×3 to c channels, conv 3×3 to c channels. N(b, c) is a bottleneck: conv 1×1 to b channels,
conv 3×3 to b channels, conv 1×1 to c channels. A shortcut goes around each block; the ReLU of its last convolution
comes after the sum. Every convolution is followed by batch normalisation. The first block of conv3_x, conv4_x and
conv5_x has stride 2.

Parameters have torchvision's names, so its weights load as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers import Add, GlobalAvgPool2d, PaddedShortcut, SqueezeExcitation
from striate.models.initialization import fan_out_normal
from striate.models.registry import STEM, Facts, Option, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "He, Zhang, Ren, Sun 2015"
OPTIONS = {"stem": STEM, "downsample": Option(("v1.5", "v1")), "zero_gamma": Option((False, True))}
SMALLEST = {"imagenet": 17, "small": 5}  # sides that leave the last stage two pixels to halve
SMALLEST_CIFAR = 3


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and the shortcut around them: (N, in, H, W) to (N, width, H / stride, W / stride)."""

    def __init__(self, channels: int, width: int, stride: int, shortcut: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut
        self.add = Add()
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output; sides that the stride does not divide are rounded up."""
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.bn2(self.conv2(branch))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu2(self.add(branch, shortcut))


@dataclass(frozen=True)
class Style:
    """Settings of a bottleneck block, different from network to network.

    Args:
        downsample: the stride is that of the first convolution with "v1", as published, of the second with "v1.5",
            which loses less of the image.
        groups: of the 3×3 convolution (ResNeXt).
        group_width: channels of each group in a block of width 64, and in proportion in others.
        reduction: squeeze-and-excitation to this fraction of the output's channels, before the sum (SENet); 0 for none.
        halved: whether the first convolution has half as many channels as the second (SENet-154).
    """

    downsample: str = "v1.5"
    groups: int = 1
    group_width: int = 64
    reduction: int = 0
    halved: bool = False


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1: (N, in, H, W) to (N, 4 · width, H / stride, W / stride).

    Args:
        channels: input channels.
        width: channels between the 1×1 convolutions, unless the style has groups.
        shortcut: the module of the shortcut, or None for the identity.
    """

    def __init__(self, channels: int, width: int, stride: int, shortcut: nn.Module | None, style: Style):
        super().__init__()
        first, second = (stride, 1) if style.downsample == "v1" else (1, stride)
        middle = style.groups * style.group_width * width // 64
        narrow = middle // 2 if style.halved else middle
        self.conv1 = nn.Conv2d(channels, narrow, kernel_size=1, stride=first, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(narrow, middle, 3, stride=second, padding=1, groups=style.groups, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(middle, 4 * width, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.se = SqueezeExcitation(4 * width, 4 * width // style.reduction) if style.reduction else None
        self.downsample = shortcut
        self.add = Add()
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's output; sides that the stride does not divide are rounded up."""
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.relu2(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        if self.se is not None:
            branch = self.se(branch)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu3(self.add(branch, shortcut))


Blocks = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layout:
    """A row of the table: the network's name, blocks a stage, and kind of block.

    Args:
        style: of the bottlenecks; without it, the blocks are basic ones.
    """

    name: str
    blocks: Blocks
    style: Style | None = None


class ResNet(nn.Module):
    """ResNet of table 1: (N, channels, height, width) to logits (N, classes).

    Args:
        image_size: both sides at least 17 pixels with the stem "imagenet", 5 with "small".
        layout: the column of the table.
        stem: "imagenet" as published, or "small": a 3×3 convolution without stride, and no pooling.
        downsample: "v1" or "v1.5", see Style; a network of basic blocks is the same with either.
        zero_gamma: whether each block's last normalisation starts at 0, the block thus as its shortcut (Goyal et al.
            2017, section 5.1).

    Shortcuts that change the shape are 1×1 convolutions with batch normalisation (option B).

    Raises:
        ShapeError: if a side of the image is too small.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        image_size: tuple[int, int],
        layout: Layout,
        stem: str = "imagenet",
        downsample: str = "v1.5",
        zero_gamma: bool = False,
    ):
        super().__init__()
        check_size(layout.name, stem, image_size, SMALLEST)
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        blocks, style = layout.blocks, layout.style
        wide = 4 if style else 1
        make = partial(Bottleneck, style=replace(style, downsample=downsample)) if style else BasicBlock
        self.conv1 = nn.Conv2d(channels, 64, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        self.layer1 = stage(make, 64, 64, 64 * wide, blocks[0], 1, projection)
        self.layer2 = stage(make, 64 * wide, 128, 128 * wide, blocks[1], 2, projection)
        self.layer3 = stage(make, 128 * wide, 256, 256 * wide, blocks[2], 2, projection)
        self.layer4 = stage(make, 256 * wide, 512, 512 * wide, blocks[3], 2, projection)
        self.avgpool = GlobalAvgPool2d()
        self.fc = nn.Linear(512 * wide, classes)
        fan_out_normal(self)
        if zero_gamma:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    nn.init.zeros_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch; the shapes noted are those of 224×224 images with bottlenecks."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, 112, 112)
        x = self.maxpool(x)  # (N, 64, 56, 56)
        x = self.layer1(x)  # (N, 256, 56, 56)
        x = self.layer2(x)  # (N, 512, 28, 28)
        x = self.layer3(x)  # (N, 1024, 14, 14)
        x = self.layer4(x)  # (N, 2048, 7, 7)
        x = self.avgpool(x)  # (N, 2048)
        logits: Tensor = self.fc(x)
        return logits


class CifarResNet(nn.Module):
    """ResNet for 32×32 images: (N, channels, height, width), both sides at least 3 pixels, to logits (N, classes).

    6n + 2 layers with weights, n blocks a stage. The shortcuts have no parameters (option A).

    Raises:
        ShapeError: if a side of the image is below 3 pixels.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], n: int):
        super().__init__()
        if min(image_size) < SMALLEST_CIFAR:
            raise ShapeError(
                f"resnet{6 * n + 2} needs images of at least {SMALLEST_CIFAR}×{SMALLEST_CIFAR} pixels, "
                f"got {image_size[0]}×{image_size[1]}: pass a larger --image-size."
            )
        self.conv1 = nn.Conv2d(channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = stage(BasicBlock, 16, 16, 16, n, 1, PaddedShortcut)
        self.layer2 = stage(BasicBlock, 16, 32, 32, n, 2, PaddedShortcut)
        self.layer3 = stage(BasicBlock, 32, 64, 64, n, 2, PaddedShortcut)
        self.avgpool = GlobalAvgPool2d()
        self.fc = nn.Linear(64, classes)
        fan_out_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 16, 32, 32)
        x = self.layer1(x)  # (N, 16, 32, 32)
        x = self.layer2(x)  # (N, 32, 16, 16)
        x = self.layer3(x)  # (N, 64, 8, 8)
        x = self.avgpool(x)  # (N, 64)
        logits: Tensor = self.fc(x)
        return logits


def stage(
    block: Callable[[int, int, int, nn.Module | None], nn.Module],
    channels: int,
    width: int,
    made: int,
    blocks: int,
    stride: int,
    shortcut: Callable[[int, int, int], nn.Module],
) -> nn.Sequential:
    """Make a stage of blocks, from `channels` channels to `made`; the first has the stride and the new shape."""
    around = shortcut(channels, made, stride) if stride > 1 or channels != made else None
    first = block(channels, width, stride, around)
    return nn.Sequential(first, *(block(made, width, 1, None) for _ in range(blocks - 1)))


def projection(channels: int, made: int, stride: int) -> nn.Module:
    """Option B: a 1×1 convolution and batch normalisation."""
    return nn.Sequential(nn.Conv2d(channels, made, 1, stride, bias=False), nn.BatchNorm2d(made))


_TABLE_1: dict[int, tuple[Blocks, Style | None]] = {
    18: ((2, 2, 2, 2), None),
    34: ((3, 4, 6, 3), None),
    50: ((3, 4, 6, 3), Style()),
    101: ((3, 4, 23, 3), Style()),
    152: ((3, 8, 36, 3), Style()),
}
for _layers, (_blocks, _style) in _TABLE_1.items():
    _name = f"resnet{_layers}"
    _facts = Facts(_name, f"ResNet-{_layers}", f"{SOURCE}, table 1", options=OPTIONS, normalization=IMAGENET)
    register(_facts)(partial(ResNet, layout=Layout(_name, _blocks, _style)))
for _n in (3, 5, 7, 9, 18):
    _layers = 6 * _n + 2
    _facts = Facts(f"resnet{_layers}", f"ResNet-{_layers} for small images", f"{SOURCE}, section 4.2")
    register(_facts)(partial(CifarResNet, n=_n))
