"""Dense layer at every pixel: a 1×1 convolution whose weights have the shape of a dense layer's.

Networks that are written with the channels last in every tensor use nn.Linear so.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from striate.layers.padding import image_size


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
