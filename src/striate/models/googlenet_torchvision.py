"""torchvision's GoogLeNet: that of 2014 with batch normalisation, as in TensorFlow's models.

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
border ("ceil") instead of padding, dropout is 0.2, and the heads average adaptively to 4×4 pixels. Names and shapes are
torchvision's, so that its weights load as they are. They were trained on images normalised with 0.5 and 0.5: the
option `transform_input` with which torchvision uses them undoes ImageNet's normalisation in favour of that one.

With stem=small, for images of about 32 pixels, conv1 is 3×3 at a stride of 1 and maxpool1 is left out.
"""

from torch import Tensor, nn

from striate.layers import GlobalAvgPool2d, Inception, conv_relu
from striate.models.googlenet import AUXILIARY, OPTIONS, TABLE, Head
from striate.models.registry import Facts, Outputs, register
from striate.models.stem import check_size
from striate.models.weights.pretrained import HALF

SOURCE = "Szegedy et al. 2014, as torchvision.models.googlenet builds it"
SMALLEST = {"imagenet": 15, "small": 4}  # sides with at least one window in every pooling


@register(
    Facts(
        "googlenet_torchvision",
        "torchvision's GoogLeNet, with batch normalisation",
        SOURCE,
        options=OPTIONS,
        normalization=HALF,
    )
)
class GoogLeNetTorchvision(nn.Module):
    """torchvision's GoogLeNet: (N, channels, height, width) to logits (N, classes); in training to `Outputs`.

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
        check_size("googlenet_torchvision", stem, image_size, SMALLEST)
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
