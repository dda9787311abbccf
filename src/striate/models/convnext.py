"""ConvNeXt-T (Liu et al., 2022), as in table 9: a ResNet brought up to the habits of transformers.

layer       type                        size   channels
features.0  conv 4×4, stride 4, norm    56×56  96
features.1  3 × B                       56×56  96
features.2  norm, conv 2×2, stride 2    28×28  192
features.3  3 × B                       28×28  192
features.4  norm, conv 2×2, stride 2    14×14  384
features.5  9 × B                       14×14  384
features.6  norm, conv 2×2, stride 2    7×7    768
features.7  3 × B                       7×7    768
avgpool     average                     1×1    768
classifier  norm, dense                        1000     softmax (in the loss)

B is a block: depthwise conv 7×7, norm, dense layer across the channels of each pixel to 4 times as many, GELU, dense
layer back. The result is scaled, each channel by a learned factor that starts at 10⁻⁶ (layer scale), and added to the
input. The norm is layer normalisation across the channels of each pixel.

Names and shapes are torchvision's, so that its weights load as they are. With stem=small, for images of about 32
pixels, the first convolution is 2×2 at a stride of 2.
"""

from collections import OrderedDict

from torch import Tensor, nn

from striate.layers import GlobalAvgPool2d, LayerNorm2d, PixelLinear, ScaledResidual
from striate.models.registry import STEM, Facts, check_size, register
from striate.models.weights.pretrained import IMAGENET

SOURCE = "Liu, Mao, Wu, Feichtenhofer, Darrell, Xie 2022, table 9"
STAGES = ((3, 96), (3, 192), (9, 384), (3, 768))  # blocks, channels
DROP_RATE = 0.1  # stochastic depth's probability for the last block; it grows evenly from 0 for the first
SMALLEST = {"imagenet": 32, "small": 16}  # sides of which five halvings, or four, leave a pixel


@register(
    Facts(
        "convnext_tiny",
        "ConvNeXt-T, a ResNet with the habits of transformers",
        SOURCE,
        options={"stem": STEM},
        normalization=IMAGENET,
    )
)
class ConvNeXtTiny(nn.Module):
    """ConvNeXt-T: (N, channels, height, width) to logits (N, classes).

    28,589,128 parameters for colour images and 1,000 classes. Weights start normal with deviation 0.02, cut off at ±2,
    biases at 0, as in the authors' program.

    Args:
        image_size: both sides at least 32 pixels with the stem "imagenet", 16 with "small".
        stem: "imagenet", the table above, or "small".

    Raises:
        ShapeError: for an image that is too small.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int], stem: str = "imagenet"):
        super().__init__()
        check_size("convnext_tiny", stem, image_size, SMALLEST)
        step = 4 if stem == "imagenet" else 2
        width, done, total = STAGES[0][1], 0, sum(blocks for blocks, _ in STAGES)
        layers = [nn.Sequential(nn.Conv2d(channels, width, step, stride=step), LayerNorm2d(width))]
        for blocks, made in STAGES:
            if made != width:
                layers.append(nn.Sequential(LayerNorm2d(width), nn.Conv2d(width, made, kernel_size=2, stride=2)))
            rates = [DROP_RATE * (done + number) / (total - 1) for number in range(blocks)]
            layers.append(nn.Sequential(*(_block(made, rate) for rate in rates)))
            width, done = made, done + blocks
        self.features = nn.Sequential(*layers)
        self.avgpool = GlobalAvgPool2d(keepdim=True)
        self.classifier = nn.Sequential(LayerNorm2d(width), nn.Flatten(), nn.Linear(width, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.features(x)  # (N, 768, 7, 7)
        logits: Tensor = self.classifier(self.avgpool(x))
        return logits


def _block(channels: int, drop_rate: float) -> ScaledResidual:
    """B, by torchvision's numbers: 1 and 6 there change the order of axes, which is not needed here."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["0"] = nn.Conv2d(channels, channels, kernel_size=7, padding=3, groups=channels)
    layers["2"] = LayerNorm2d(channels)
    layers["3"] = PixelLinear(channels, 4 * channels)
    layers["4"] = nn.GELU()
    layers["5"] = PixelLinear(4 * channels, channels)
    return ScaledResidual(nn.Sequential(layers), channels, drop_rate=drop_rate)
