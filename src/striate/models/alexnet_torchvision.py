"""torchvision's AlexNet, after "One weird trick for parallelizing convolutional neural networks" (Krizhevsky, 2014).

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
"""

from torch import Tensor, nn

from striate.layers import MaxPool2d
from striate.models.alexnet import UNITS, left
from striate.models.registry import Facts, register
from striate.models.stem import STEM, check_size
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks"
SMALLEST = {"imagenet": 63, "small": 15}  # sides that leave one pixel after features.12


@register(
    Facts(
        "alexnet_torchvision",
        "torchvision's AlexNet, the one-weird-trick variant",
        SOURCE,
        options={"stem": STEM},
        normalization=IMAGENET,
    )
)
class AlexNetTorchvision(nn.Module):
    """AlexNet as torchvision builds it: (N, channels, height, width) to logits (N, classes).

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
        check_size("alexnet_torchvision", stem, image_size, SMALLEST)
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
