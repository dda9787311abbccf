"""QuickNet: Striate's own networks, designed for a short training time to a good accuracy.

layer  type            maps            size at 28×28   size at 224×224
                       s    m    l
C1     conv 3×3        18   18   18    28×28           conv 7×7, stride 4: 56×56, 32, 48 or 48 maps
S2     max pool 2×2                    14×14           28×28
+      conv 3×3                  48    14×14           28×28    two, added to their inputs where those are 48
C3     conv 3×3        64   96   96    14×14           28×28
S4     max pool 2×2                    7×7             14×14
C5     conv 3×3        64   96   96    7×7             14×14    added to its input
+      conv 3×3                  96    7×7             14×14    added to its input
C6     conv 3×3        128  192  192   7×7             14×14
S7     max pool 2×2                    3×3             7×7
C8     conv 3×3        128  192  192   3×3             7×7      added to its input
+      conv 3×3                  192   3×3             7×7      added to its input
S9     global max                      1×1             1×1
out    dense, × 0.2, softmax (in the loss)

With the small stem C1 has fixed whitening filters, see `layers.WhiteningConv2d`: `fit` computes them from training
images, and no gradient has to be propagated to it. It has both signs of every direction of a patch: 18 channels for
grey images, and for those in colour as many as with the large stem. After each other convolution, or the pooling after
it, come batch normalisation and ReLU: maximum and ReLU commute, and a quarter of the values is then normalised and
rectified. The effect of each choice: docs/benchmarks/ablation.md.
"""

from itertools import pairwise

from torch import Tensor, nn

from striate.layers import Add, GlobalMaxPool2d, MaxPool2d, WhiteningConv2d
from striate.models.registry import STEM, Facts, check_size, register

WIDTHS = {"quicknet_s": (32, 64, 128), "quicknet_m": (48, 96, 192), "quicknet_l": (48, 96, 192)}
DEEPER = "quicknet_l"  # the model with the layers that the table marks with +
SMALLEST = {"imagenet": 61, "small": 8}  # sides of which three poolings leave a pixel
LOGIT_SCALE = 0.2


class Unit(nn.Module):
    """A 3×3 convolution, batch normalisation and ReLU, with a pooling or, if the width stays the same, a shortcut.

    (N, channels, H, W) to (N, width, H / 2, W / 2), rounded down, with `pool`; otherwise to (N, width, H, W), where the
    input is added if it has as many channels.
    """

    def __init__(self, channels: int, width: int, pool: bool):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        self.pool = MaxPool2d(2) if pool else None
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.add = None if pool or width != channels else Add()

    def forward(self, x: Tensor) -> Tensor:
        """Return the unit's output."""
        maps = self.conv(x)
        maps = self.relu(self.norm(maps if self.pool is None else self.pool(maps)))
        return maps if self.add is None else self.add(maps, x)


class QuickNet(nn.Module):
    """QuickNet: (N, channels, height, width), both sides at least 8, to logits (N, classes).

    With 28×28 grey images and 10 classes: quicknet_s 0.27, quicknet_m 0.60, quicknet_l 1.07 million parameters and
    8.9, 18.4, 36.1 million multiply-adds.

    Raises:
        ShapeError: if a side of the image is shorter than the stem takes, see `SMALLEST`.
    """

    def __init__(
        self,
        name: str,
        widths: tuple[int, int, int],
        classes: int,
        channels: int,
        image_size: tuple[int, int],
        stem: str,
    ):
        super().__init__()
        check_size(name, stem, image_size, SMALLEST)
        narrow, middle, wide = widths
        self.conv1: nn.Conv2d
        if stem == "small":
            self.conv1 = WhiteningConv2d(channels, 3, directions=min(9 * channels, narrow // 2))
            narrow = self.conv1.out_channels
        else:
            self.conv1 = nn.Conv2d(channels, narrow, 7, stride=4, padding=3, bias=False)
        self.pool2 = MaxPool2d(2)
        self.norm2 = None if stem == "small" else nn.BatchNorm2d(narrow)
        self.relu2 = nn.ReLU()
        more = name == DEEPER
        self.more2 = _units(narrow, widths[0], widths[0]) if more else None
        self.unit3 = Unit(widths[0] if more else narrow, middle, pool=True)
        self.unit5 = Unit(middle, middle, pool=False)
        self.more5 = _units(middle, middle) if more else None
        self.unit6 = Unit(middle, wide, pool=True)
        self.unit8 = Unit(wide, wide, pool=False)
        self.more8 = _units(wide, wide) if more else None
        self.pool9 = GlobalMaxPool2d()
        self.output = nn.Linear(wide, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.pool2(self.conv1(x))
        x = self.relu2(x if self.norm2 is None else self.norm2(x))
        x = self.unit5(self.unit3(x if self.more2 is None else self.more2(x)))
        x = self.unit8(self.unit6(x if self.more5 is None else self.more5(x)))
        x = x if self.more8 is None else self.more8(x)
        logits: Tensor = LOGIT_SCALE * self.output(self.pool9(x))
        return logits


def _units(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(Unit(before, after, pool=False) for before, after in pairwise(widths)))


def _register(name: str, title: str) -> None:
    @register(Facts(name, title, "Striate", options={"stem": STEM}))
    def build(classes: int, channels: int, image_size: tuple[int, int], stem: str) -> QuickNet:
        return QuickNet(name, WIDTHS[name], classes, channels, image_size, stem)


_register("quicknet_s", "Striate's own, the quickest")
_register("quicknet_m", "Striate's own, for a short time to a good accuracy")
_register("quicknet_l", "Striate's own, for the best accuracy in half an hour")
