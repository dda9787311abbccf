"""Convolutions: with TensorFlow's "same" padding, and a dense layer at every pixel.

With a stride, TensorFlow's "same" padding is one cell longer after than before. PyTorch pads both sides equally, and
its own padding="same" takes no stride: weights trained in TensorFlow then look at other pixels. A dense layer at every
pixel is a 1×1 convolution whose weights have the shape of a dense layer's: networks that are written with the channels
last in every tensor use nn.Linear so.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from striate.layers.padding import image_size, pair, positive, same_padding


class SameConv2d(nn.Conv2d):
    """Convolution with a stride and TensorFlow's "same" padding, see `same_padding`; cells around the image are 0.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)), or the same without N; floating.
    Parameters, their names and their initial values are those of nn.Conv2d.

    Raises ArgumentError for a number that is not positive, and ShapeError for a tensor that is no image or has another
    number of channels.

    >>> import torch
    >>> conv = SameConv2d(1, 1, kernel_size=3, stride=2, bias=False)
    >>> conv.weight.data.fill_(1)[0, 0, 0, 0]
    tensor(1.)
    >>> conv(torch.ones(1, 1, 4, 4))[0, 0]
    tensor([[9., 6.],
            [6., 4.]], grad_fn=<SelectBackward0>)
    """

    _convolve = staticmethod(F.conv2d)  # or what stands for it in training

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, bias: bool = True
    ):
        positive(in_channels, "in_channels")
        positive(out_channels, "out_channels")
        kernel, steps = pair(kernel_size, "kernel_size"), pair(stride, "stride")
        super().__init__(in_channels, out_channels, kernel, steps, groups=positive(groups, "groups"), bias=bias)
        self.padding = "same"

    def forward(self, input: Tensor) -> Tensor:
        size = image_size(input, "SameConv2d", self.in_channels)
        axes = zip(size, self.kernel_size, self.stride, strict=True)
        rows, columns = (same_padding(n, kernel, stride) for n, kernel, stride in axes)
        even = rows[0] == rows[1] and columns[0] == columns[1]
        padding = (rows[0], columns[0]) if even else (0, 0)
        padded = input if even else F.pad(input, columns + rows)
        return self._convolve(padded, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class PixelLinear(nn.Linear):
    """Dense layer across the channels of each pixel, the same one at every pixel.

    (N, in_features, H, W) -> (N, out_features, H, W), or the same without N; floating. Parameters, their names, shapes
    and initial values are those of nn.Linear.

    Raises ShapeError for a tensor that is no image or has another number of channels.

    >>> import torch
    >>> PixelLinear(3, 8)(torch.zeros(2, 3, 5, 6)).shape
    torch.Size([2, 8, 5, 6])
    """

    def forward(self, input: Tensor) -> Tensor:
        image_size(input, "PixelLinear", self.in_features)
        return F.conv2d(input, self.weight[:, :, None, None], self.bias)
