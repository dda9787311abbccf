"""VGG-16 (Simonyan and Zisserman, 2015), as in table 1, column D: stacks of 3×3 convolutions.

layer            type     maps  size     kernel  stride  padding  activation
in               input    3     224×224
features.0-2     2 conv   64    224×224  3×3     1       same     ReLU
features.4       maxpool  64    112×112  2×2     2       valid
features.5-7     2 conv   128   112×112  3×3     1       same     ReLU
features.9       maxpool  128   56×56    2×2     2       valid
features.10-14   3 conv   256   56×56    3×3     1       same     ReLU
features.16      maxpool  256   28×28    2×2     2       valid
features.17-21   3 conv   512   28×28    3×3     1       same     ReLU
features.23      maxpool  512   14×14    2×2     2       valid
features.24-28   3 conv   512   14×14    3×3     1       same     ReLU
features.30      maxpool  512   7×7      2×2     2       valid
avgpool          avgpool  512   7×7      adaptive
classifier.0     dense    4096                                    ReLU, dropout ½
classifier.3     dense    4096                                    ReLU, dropout ½
classifier.6     dense    1000                                    softmax (in the loss)

A stack of three 3×3 windows has the receptive field of one of 7×7, with 27/49 of its weights and two more ReLUs. Names
and shapes are torchvision's, so that its weights load as they are; its adaptive pooling, which changes nothing at
224×224, allows any larger image.

With stem=small, for images of about 32 pixels, the poolings keep the remainder at the border ("same"), so that
28×28 pixels go through all five as 14, 7, 4, 2, 1; nothing is averaged, and the dense layers have 512 units, as many as
there are channels.
"""

from torch import Tensor, nn

from striate.layers import MaxPool2d
from striate.models.initialization import he_normal
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Simonyan, Zisserman 2015, table 1, column D"
STACKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
SMALLEST = {"imagenet": 32}  # five poolings leave one pixel of 32


@register(Facts("vgg16", "VGG-16, stacks of 3×3 convolutions", SOURCE, options={"stem": STEM}, normalization=IMAGENET))
class VGG16(nn.Module):
    """VGG-16: (N, channels, height, width) to logits (N, classes).

    138,357,544 parameters for colour images and 1,000 classes, whatever the image's size. Both sides at least 32
    pixels; any size with stem=small.

    Convolutions start as He et al. (2015) draw them, by fan-out, dense layers normal with deviation 0.01, biases at 0,
    as in torchvision; with stem=small all as He et al. draw them, by fan-in, and the last layer at 0.

    Args:
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("vgg16", stem, image_size, SMALLEST)
        large = stem == "imagenet"
        units = 4096 if large else 512
        layers: list[nn.Module] = []
        for stack in STACKS:
            for width in stack:
                layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()]
                channels = width
            layers += [MaxPool2d(2, padding="valid" if large else "same")]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7) if large else nn.Identity()
        pixels = 7 * 7 if large else -(-image_size[0] // 32) * -(-image_size[1] // 32)
        self.flatten = nn.Flatten()
        output = nn.Linear(units, classes)
        self.classifier = nn.Sequential(
            nn.Linear(512 * pixels, units),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(units, units),
            nn.ReLU(),
            nn.Dropout(0.5),
            output,
        )
        if large:
            self._start_as_torchvision()
        else:
            he_normal(self, output)

    def _start_as_torchvision(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.flatten(self.avgpool(self.features(x)))  # (N, 25088)
        logits: Tensor = self.classifier(x)
        return logits
