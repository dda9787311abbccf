"""GoogLeNet (Szegedy et al., 2014), as in table 1 and figure 3, and as torchvision builds it.

layer        type       window  output       parameters
in           input              224×224×3
conv1        conv       7×7/2   112×112×64   9,472
pool1        maxpool    3×3/2   56×56×64                 local response normalisation after it
conv2        conv       1×1/1   56×56×64     4,160
conv3        conv       3×3/1   56×56×192    110,784     local response normalisation after it
pool2        maxpool    3×3/2   28×28×192
inception3a  inception          28×28×256    163,696
inception3b  inception          28×28×480    388,736
pool3        maxpool    3×3/2   14×14×480
inception4a  inception          14×14×512    376,176     aux1 on it: 3,188,840 parameters, in training only
inception4b  inception          14×14×512    449,160
inception4c  inception          14×14×512    510,104
inception4d  inception          14×14×528    605,376     aux2 on it: 3,190,888 parameters, in training only
inception4e  inception          14×14×832    868,352
pool4        maxpool    3×3/2   7×7×832
inception5a  inception          7×7×832      1,043,456
inception5b  inception          7×7×1024     1,444,080
avgpool      avgpool    7×7/1   1×1×1024                 dropout 0.4
fc           dense              1000         1,025,000   softmax (in the loss)

Every convolution is followed by a ReLU, every pooling and convolution pads "same" (figure 3's "S"). The printed column
of parameters rounds, and counts some rows in another way; this one is exact, biases included.

With stem=small, for images of about 32 pixels, conv1 is 3×3 at a stride of 1 and pool1 is left out, as in small
ResNets: a quarter of the resolution is lost instead of an eighth, so that 32×32 pixels reach 3a as 16×16.
"""

from torch import Tensor, nn

from striate.layers import AvgPool2d, GlobalAvgPool2d, Inception, LocalResponseNorm, MaxPool2d, conv_relu
from striate.layers.padding import output_size
from striate.models.initialization import he_normal
from striate.models.registry import STEM, Facts, Option, Outputs, check_size, register
from striate.models.weights.pretrained import HALF

SOURCE = "Szegedy et al. 2014, Going Deeper with Convolutions, table 1 and figure 3"
AUXILIARY = 0.3  # the weight of each auxiliary classifier's loss, section 5

# Table 1: input channels, #1×1, (#3×3 reduce, #3×3), (#5×5 reduce, #5×5), pool projection.
TABLE = {
    "3a": (192, 64, (96, 128), (16, 32), 32),
    "3b": (256, 128, (128, 192), (32, 96), 64),
    "4a": (480, 192, (96, 208), (16, 48), 64),
    "4b": (512, 160, (112, 224), (24, 64), 64),
    "4c": (512, 128, (128, 256), (24, 64), 64),
    "4d": (512, 112, (144, 288), (32, 64), 64),
    "4e": (528, 256, (160, 320), (32, 128), 128),
    "5a": (832, 256, (160, 320), (32, 128), 128),
    "5b": (832, 384, (192, 384), (48, 128), 128),
}


class Head(nn.Module):
    """An auxiliary classifier, section 5: (N, channels, height, width) to logits (N, classes).

    Args:
        pool: a pooling to `pixels` pixels.
        norm: batch normalisation instead of the convolution's bias; not in the paper.
    """

    def __init__(self, pool: nn.Module, channels: int, pixels: int, classes: int, norm: bool = False):
        super().__init__()
        self.pool = pool
        self.conv = conv_relu(channels, 128, 1, norm=norm)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(128 * pixels, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.conv(self.pool(x))  # (N, 128, 4, 4)
        x = self.dropout(self.relu(self.fc1(self.flatten(x))))  # (N, 1024)
        logits: Tensor = self.fc2(x)
        return logits


OPTIONS = {"stem": STEM, "auxiliary": Option((True, False))}


@register(Facts("googlenet", "GoogLeNet as published in 2014", SOURCE, options=OPTIONS))
class GoogLeNet(nn.Module):
    """GoogLeNet: (N, channels, height, width), any size, to logits (N, classes); in training to `Outputs`.

    6,998,552 parameters for colour images and 1,000 classes; with the auxiliary heads, which at 224×224 have 4×4
    pixels, 13,378,280. The average is over all pixels, which at 224×224 is the table's window of 7×7.

    The paper gives neither the constants of its local response normalisation, here AlexNet's, nor how weights start:
    here as He et al. (2015) draw them for ReLU networks, with biases and the last layers at 0.

    Args:
        stem: "imagenet", the table above, or "small".
        auxiliary: whether there are classifiers on 4a and 4d. Only training uses them.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        image_size: tuple[int, int],
        stem: str = "imagenet",
        auxiliary: bool = True,
    ):
        super().__init__()
        large = stem == "imagenet"
        self.conv1 = conv_relu(channels, 64, 7, stride=2) if large else conv_relu(channels, 64, 3)
        self.pool1 = MaxPool2d(3, stride=2, padding="same") if large else nn.Identity()
        self.norm1 = LocalResponseNorm()
        self.conv2 = conv_relu(64, 64, 1)
        self.conv3 = conv_relu(64, 192, 3)
        self.norm3 = LocalResponseNorm()
        self.pool2 = MaxPool2d(3, stride=2, padding="same")
        self.inception3a = Inception(*TABLE["3a"])
        self.inception3b = Inception(*TABLE["3b"])
        self.pool3 = MaxPool2d(3, stride=2, padding="same")
        self.inception4a = Inception(*TABLE["4a"])
        self.inception4b = Inception(*TABLE["4b"])
        self.inception4c = Inception(*TABLE["4c"])
        self.inception4d = Inception(*TABLE["4d"])
        self.inception4e = Inception(*TABLE["4e"])
        self.pool4 = MaxPool2d(3, stride=2, padding="same")
        self.inception5a = Inception(*TABLE["5a"])
        self.inception5b = Inception(*TABLE["5b"])
        shrinks = 16 if large else 4  # from the image to 4a
        size = (-(-image_size[0] // shrinks), -(-image_size[1] // shrinks))
        self.aux1 = _head(512, size, classes) if auxiliary else None
        self.aux2 = _head(528, size, classes) if auxiliary else None
        self.avgpool = GlobalAvgPool2d()
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(1024, classes)
        he_normal(self, self.fc, *(head.fc2 for head in (self.aux1, self.aux2) if head is not None))

    def forward(self, x: Tensor) -> Tensor | Outputs:
        """Logits of a batch, in training mode with those of the heads."""
        x = self.norm1(self.pool1(self.conv1(x)))  # (N, 64, 56, 56)
        x = self.pool2(self.norm3(self.conv3(self.conv2(x))))  # (N, 192, 28, 28)
        x = self.pool3(self.inception3b(self.inception3a(x)))  # (N, 480, 14, 14)
        x = early = self.inception4a(x)  # (N, 512, 14, 14)
        x = late = self.inception4d(self.inception4c(self.inception4b(x)))  # (N, 528, 14, 14)
        x = self.pool4(self.inception4e(x))  # (N, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # (N, 1024, 7, 7)
        logits: Tensor = self.fc(self.dropout(self.avgpool(x)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return Outputs(logits, (self.aux1(early), self.aux2(late)), AUXILIARY)
        return logits


def _head(channels: int, size: tuple[int, int], classes: int) -> Head:
    """Make a head for feature maps of this size, with a window of 5×5, or less where they are smaller."""
    window = (min(5, size[0]), min(5, size[1]))
    height, width = (output_size(side, kernel, 3, "valid") for side, kernel in zip(size, window, strict=True))
    return Head(AvgPool2d(window, stride=3), channels, height * width, classes)


TORCHVISION_SOURCE = "Szegedy et al. 2014, as torchvision.models.googlenet builds it"
TORCHVISION_SMALLEST = {"imagenet": 15, "small": 4}  # sides with at least one window in every pooling


@register(
    Facts(
        "googlenet_torchvision",
        "torchvision's GoogLeNet, with batch normalisation",
        TORCHVISION_SOURCE,
        options=OPTIONS,
        normalization=HALF,
    )
)
class GoogLeNetTorchvision(nn.Module):
    """torchvision's GoogLeNet: (N, channels, height, width) to logits (N, classes); in training to `Outputs`.

    layer        type       window  output       parameters
    in           input              224×224×3
    conv1        conv       7×7/2   112×112×64   9,536
    maxpool1     maxpool    3×3/2   56×56×64
    conv2        conv       1×1/1   56×56×64     4,224
    conv3        conv       3×3/1   56×56×192    110,976
    maxpool2     maxpool    3×3/2   28×28×192
    inception3a  inception          28×28×256    155,872
    inception3b  inception          28×28×480    340,224
    maxpool3     maxpool    3×3/2   14×14×480
    inception4a  inception          14×14×512    364,512
    inception4b  inception          14×14×512    425,232
    inception4c  inception          14×14×512    486,192
    inception4d  inception          14×14×528    573,312
    inception4e  inception          14×14×832    803,840
    maxpool4     maxpool    2×2/2   7×7×832
    inception5a  inception          7×7×832      978,944
    inception5b  inception          7×7×1024     1,347,040
    avgpool      avgpool            1×1×1024                 dropout 0.2
    fc           dense              1000         1,025,000   softmax (in the loss)

    Differences from the paper: the "5×5" branches have windows of 3×3, every convolution a batch normalisation in the
    place of its bias, there is no local response normalisation, maxpool4 is 2×2, poolings keep the remainder at the
    border ("ceil") instead of padding, dropout is 0.2, and the heads average adaptively to 4×4 pixels. Names and shapes
    are torchvision's, so that its weights load as they are. They were trained on images normalised with 0.5 and 0.5:
    the option `transform_input` with which torchvision uses them undoes ImageNet's normalisation in favour of that one.

    With stem=small, for images of about 32 pixels, conv1 is 3×3 at a stride of 1 and maxpool1 is left out.

    6,624,904 parameters for colour images and 1,000 classes, 13,004,888 with the auxiliary heads, whatever the image's
    size. Both sides at least 15 pixels, 4 with stem=small.

    Weights start normal with deviation 0.01, cut off at ±2 as torchvision does, scales at 1 and biases at 0, but those
    of dense layers as PyTorch draws them.

    Args:
        stem: "imagenet", the table above, or "small".
        auxiliary: whether there are classifiers on 4a and 4d. Only training uses them.

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        image_size: tuple[int, int],
        stem: str = "imagenet",
        auxiliary: bool = True,
    ):
        super().__init__()
        check_size("googlenet_torchvision", stem, image_size, TORCHVISION_SMALLEST)
        large = stem == "imagenet"
        self.conv1 = conv_relu(channels, 64, 7, stride=2, norm=True) if large else conv_relu(channels, 64, 3, norm=True)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True) if large else nn.Identity()
        self.conv2 = conv_relu(64, 64, 1, norm=True)
        self.conv3 = conv_relu(64, 192, 3, norm=True)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = _inception("3a")
        self.inception3b = _inception("3b")
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = _inception("4a")
        self.inception4b = _inception("4b")
        self.inception4c = _inception("4c")
        self.inception4d = _inception("4d")
        self.inception4e = _inception("4e")
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = _inception("5a")
        self.inception5b = _inception("5b")
        self.aux1 = Head(nn.AdaptiveAvgPool2d(4), 512, 16, classes, norm=True) if auxiliary else None
        self.aux2 = Head(nn.AdaptiveAvgPool2d(4), 528, 16, classes, norm=True) if auxiliary else None
        self.avgpool = GlobalAvgPool2d()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-2, b=2)

    def forward(self, x: Tensor) -> Tensor | Outputs:
        """Logits of a batch, in training mode with those of the heads."""
        x = self.maxpool1(self.conv1(x))  # (N, 64, 56, 56)
        x = self.maxpool2(self.conv3(self.conv2(x)))  # (N, 192, 28, 28)
        x = self.maxpool3(self.inception3b(self.inception3a(x)))  # (N, 480, 14, 14)
        x = early = self.inception4a(x)  # (N, 512, 14, 14)
        x = late = self.inception4d(self.inception4c(self.inception4b(x)))  # (N, 528, 14, 14)
        x = self.maxpool4(self.inception4e(x))  # (N, 832, 7, 7)
        x = self.inception5b(self.inception5a(x))  # (N, 1024, 7, 7)
        logits: Tensor = self.fc(self.dropout(self.avgpool(x)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return Outputs(logits, (self.aux1(early), self.aux2(late)), AUXILIARY)
        return logits


def _inception(row: str) -> Inception:
    return Inception(*TABLE[row], norm=True, largest=3)
