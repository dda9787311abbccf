"""Convolutional network for Fashion-MNIST from Géron, Hands-On Machine Learning, chapter 14.

layer  type     maps  size   kernel  stride  padding  activation
in     input    1     28×28
C1     conv     64    28×28  7×7     1       same     ReLU
S2     maxpool  64    14×14  2×2     2       valid
C3     conv     128   14×14  3×3     1       same     ReLU
C4     conv     128   14×14  3×3     1       same     ReLU
S5     maxpool  128   7×7    2×2     2       valid
C6     conv     256   7×7    3×3     1       same     ReLU
C7     conv     256   7×7    3×3     1       same     ReLU
S8     maxpool  256   3×3    2×2     2       valid
F9     dense    128                                   ReLU, dropout ½
F10    dense    64                                    ReLU, dropout ½
out    dense    10                                    softmax (in the loss)
"""

from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers import MaxPool2d
from striate.models.registry import Facts, register

SMALLEST = 8  # three poolings leave one pixel of eight


@register(Facts("fashion_cnn", "the chapter's CNN for Fashion-MNIST", "Géron, Hands-On Machine Learning, chapter 14"))
class FashionCNN(nn.Module):
    """The chapter's CNN: (N, channels, height, width), both sides at least 8, to logits (N, classes).

    1,413,834 parameters for 28×28 grey images and 10 classes. Each pooling comes before the ReLU of the convolution it
    follows: maximum and ReLU commute, and a quarter of the values is then rectified.

    Weights start as He et al. (2015) draw them for ReLU networks; biases and the last layer at 0, so that the first
    loss is that of uniform probabilities.

    Raises:
        ShapeError: if a side of the image is below 8 pixels.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int]):
        super().__init__()
        if min(image_size) < SMALLEST:
            raise ShapeError(
                f"fashion_cnn pools three times and needs images of at least {SMALLEST}×{SMALLEST} pixels, "
                f"got {image_size[0]}×{image_size[1]}: pass a larger --image-size."
            )
        self.conv1 = nn.Conv2d(channels, 64, kernel_size=7, padding="same")
        self.pool2 = MaxPool2d(2)
        self.relu1 = nn.ReLU()
        self.conv3 = nn.Conv2d(64, 128, kernel_size=3, padding="same")
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(128, 128, kernel_size=3, padding="same")
        self.pool5 = MaxPool2d(2)
        self.relu4 = nn.ReLU()
        self.conv6 = nn.Conv2d(128, 256, kernel_size=3, padding="same")
        self.relu6 = nn.ReLU()
        self.conv7 = nn.Conv2d(256, 256, kernel_size=3, padding="same")
        self.pool8 = MaxPool2d(2)
        self.relu7 = nn.ReLU()
        self.flatten = nn.Flatten()
        self.dense9 = nn.Linear(256 * (image_size[0] // 8) * (image_size[1] // 8), 128)
        self.relu9 = nn.ReLU()
        self.dropout9 = nn.Dropout(0.5)
        self.dense10 = nn.Linear(128, 64)
        self.relu10 = nn.ReLU()
        self.dropout10 = nn.Dropout(0.5)
        self.output = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.relu1(self.pool2(self.conv1(x)))  # (N, 64, 14, 14)
        x = self.relu3(self.conv3(x))  # (N, 128, 14, 14)
        x = self.relu4(self.pool5(self.conv4(x)))  # (N, 128, 7, 7)
        x = self.relu6(self.conv6(x))  # (N, 256, 7, 7)
        x = self.relu7(self.pool8(self.conv7(x)))  # (N, 256, 3, 3)
        x = self.flatten(x)  # (N, 2304)
        x = self.dropout9(self.relu9(self.dense9(x)))  # (N, 128)
        x = self.dropout10(self.relu10(self.dense10(x)))  # (N, 64)
        logits: Tensor = self.output(x)
        return logits
