"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012): one tower, the published two, and torchvision's.

layer  type     maps  size     kernel  stride  padding  activation
in     input    3     227×227
C1     conv     96    55×55    11×11   4       valid    ReLU, local response normalisation
S2     maxpool  96    27×27    3×3     2       valid
C3     conv     256   27×27    5×5     1       same     ReLU, local response normalisation
S4     maxpool  256   13×13    3×3     2       valid
C5     conv     384   13×13    3×3     1       same     ReLU
C6     conv     384   13×13    3×3     1       same     ReLU
C7     conv     256   13×13    3×3     1       same     ReLU
S8     maxpool  256   6×6      3×3     2       valid
F9     dense    4096                                    ReLU, dropout ½ before it
F10    dense    4096                                    ReLU, dropout ½ before it
out    dense    1000                                    softmax (in the loss)

The paper says 224×224, from which windows of 11 at a stride of 4 make no whole number of steps; 227 gives its 55.

With stem=small, for images of about 32 pixels, C1 is 5×5 at a stride of 1 with padding "same". From 32×32 pixels 3×3
are then left after S8, a quarter of the published 6×6, and the dense layers have a quarter of their units, 1024.
"""

from torch import Tensor, nn

from striate.layers import LocalResponseNorm, MaxPool2d
from striate.layers.padding import output_size
from striate.models.initialization import he_normal
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Krizhevsky, Sutskever, Hinton 2012, section 3"
SMALLEST = {"imagenet": 67, "small": 15}  # sides that leave one pixel after S8
UNITS = {"imagenet": 4096, "small": 1024}


class AlexNet(nn.Module):
    """AlexNet: (N, channels, height, width) to logits (N, classes).

    62,378,344 parameters for 227×227 colour images and 1,000 classes, 60,965,224 with the published two groups. The
    dense layers follow the image's size. Both sides at least 67 pixels, 15 with stem=small.

    Weights start as section 5 says: normal with deviation 0.01, biases at 1 in C3, C6, C7, F9 and F10 and at 0 in C1,
    C5 and the last layer. That was for grey levels of 0 … 255 and windows of 11×11; with stem=small hardly anything of
    the image would reach the last layer, and weights start as He et al. (2015) draw them, the last layer at 0.

    Args:
        stem: "imagenet", the table above, or "small".
        groups: 1, or 2 for the paper's two GPUs: C3, C6 and C7 then use only the channels of their own half.

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str, groups: int):
        super().__init__()
        units = UNITS[stem]
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(channels, 96, kernel_size=11, stride=4)
        else:
            self.conv1 = nn.Conv2d(channels, 96, kernel_size=5, padding="same")
        self.relu1 = nn.ReLU()
        self.norm1 = LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2)
        self.pool2 = MaxPool2d(3, stride=2)
        self.conv3 = nn.Conv2d(96, 256, kernel_size=5, padding="same", groups=groups)
        self.relu3 = nn.ReLU()
        self.norm3 = LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2)
        self.pool4 = MaxPool2d(3, stride=2)
        self.conv5 = nn.Conv2d(256, 384, kernel_size=3, padding="same")
        self.relu5 = nn.ReLU()
        self.conv6 = nn.Conv2d(384, 384, kernel_size=3, padding="same", groups=groups)
        self.relu6 = nn.ReLU()
        self.conv7 = nn.Conv2d(384, 256, kernel_size=3, padding="same", groups=groups)
        self.relu7 = nn.ReLU()
        self.pool8 = MaxPool2d(3, stride=2)
        self.flatten = nn.Flatten()
        self.dropout9 = nn.Dropout(0.5)
        self.dense9 = nn.Linear(256 * left(image_size[0], stem) * left(image_size[1], stem), units)
        self.relu9 = nn.ReLU()
        self.dropout10 = nn.Dropout(0.5)
        self.dense10 = nn.Linear(units, units)
        self.relu10 = nn.ReLU()
        self.output = nn.Linear(units, classes)
        if stem == "imagenet":
            self._start_as_published()
        else:
            he_normal(self, self.output)

    def _start_as_published(self) -> None:
        ones = {self.conv3, self.conv6, self.conv7, self.dense9, self.dense10}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.constant_(module.bias, float(module in ones))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.pool2(self.norm1(self.relu1(self.conv1(x))))  # (N, 96, 27, 27)
        x = self.pool4(self.norm3(self.relu3(self.conv3(x))))  # (N, 256, 13, 13)
        x = self.relu5(self.conv5(x))  # (N, 384, 13, 13)
        x = self.relu6(self.conv6(x))  # (N, 384, 13, 13)
        x = self.pool8(self.relu7(self.conv7(x)))  # (N, 256, 6, 6)
        x = self.dropout9(self.flatten(x))  # (N, 9216)
        x = self.dropout10(self.relu9(self.dense9(x)))  # (N, 4096)
        x = self.relu10(self.dense10(x))  # (N, 4096)
        logits: Tensor = self.output(x)
        return logits


def left(side: int, stem: str) -> int:
    """Return the pixels after S8 along an axis of the image."""
    side = output_size(side, 11, 4, "valid") if stem == "imagenet" else side
    for _ in ("S2", "S4", "S8"):
        side = output_size(side, 3, 2, "valid")
    return side


@register(Facts("alexnet", "AlexNet on one tower, as the chapter draws it", SOURCE, options={"stem": STEM}))
def alexnet(classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet") -> AlexNet:
    """Make AlexNet as one tower: every channel of a layer is connected to all channels of the layer before."""
    check_size("alexnet", stem, image_size, SMALLEST)
    return AlexNet(classes, channels, image_size, stem, groups=1)


@register(Facts("alexnet_grouped", "AlexNet on two towers, as published in 2012", SOURCE, options={"stem": STEM}))
def alexnet_grouped(classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet") -> AlexNet:
    """Make AlexNet with C3, C6 and C7 in two groups, as it was divided between two GPUs."""
    check_size("alexnet_grouped", stem, image_size, SMALLEST)
    return AlexNet(classes, channels, image_size, stem, groups=2)


TORCHVISION_SOURCE = "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks"
TORCHVISION_SMALLEST = {"imagenet": 63, "small": 15}  # sides that leave one pixel after features.12


@register(
    Facts(
        "alexnet_torchvision",
        "torchvision's AlexNet, the one-weird-trick variant",
        TORCHVISION_SOURCE,
        options={"stem": STEM},
        normalization=IMAGENET,
    )
)
class AlexNetTorchvision(nn.Module):
    """AlexNet as torchvision builds it: (N, channels, height, width) to logits (N, classes).

    layer         type     maps  size     kernel  stride  padding  activation
    in            input    3     224×224
    features.0    conv     64    55×55    11×11   4       2        ReLU
    features.2    maxpool  64    27×27    3×3     2       valid
    features.3    conv     192   27×27    5×5     1       same     ReLU
    features.5    maxpool  192   13×13    3×3     2       valid
    features.6    conv     384   13×13    3×3     1       same     ReLU
    features.8    conv     256   13×13    3×3     1       same     ReLU
    features.10   conv     256   13×13    3×3     1       same     ReLU
    features.12   maxpool  256   6×6      3×3     2       valid
    avgpool       avgpool  256   6×6      adaptive
    classifier.1  dense    4096                                    ReLU, dropout ½ before it
    classifier.4  dense    4096                                    ReLU, dropout ½ before it
    classifier.6  dense    1000                                    softmax (in the loss)

    No local response normalisation, and fewer channels than in 2012. Names and shapes are torchvision's, so that its
    weights load as they are.

    With stem=small, for images of about 32 pixels, features.0 is 5×5 at a stride of 1 with padding "same"; nothing is
    averaged before the dense layers, which have 1,024 units as in alexnet's small form.

    61,100,840 parameters for colour images and 1,000 classes, whatever the image's size. Both sides at least 63
    pixels, 15 with stem=small.

    Weights start as PyTorch draws them by default, as torchvision leaves them.

    Args:
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("alexnet_torchvision", stem, image_size, TORCHVISION_SMALLEST)
        large, units = stem == "imagenet", UNITS[stem]
        kernel, stride = (11, 4) if large else (5, 1)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, kernel, stride, padding=2),  # (N, 64, 55, 55)
            nn.ReLU(),
            MaxPool2d(3, stride=2),  # (N, 64, 27, 27)
            nn.Conv2d(64, 192, kernel_size=5, padding=2),  # (N, 192, 27, 27)
            nn.ReLU(),
            MaxPool2d(3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(192, 384, kernel_size=3, padding=1),  # (N, 384, 13, 13)
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(),
            MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6) if large else nn.Identity()
        pixels = 36 if large else left(image_size[0], stem) * left(image_size[1], stem)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * pixels, units),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(units, units),
            nn.ReLU(),
            nn.Linear(units, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.flatten(self.avgpool(self.features(x)))  # (N, 9216)
        logits: Tensor = self.classifier(x)
        return logits
