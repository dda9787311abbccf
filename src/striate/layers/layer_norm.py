"""Layer normalisation of feature maps: across the channels of each pixel.

Source: Ba, Kiros, Hinton, "Layer Normalization", 2016; on channels alone as in Liu et al., "A ConvNet for the 2020s",
2022, section 2.5.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.layers.padding import image_size


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation across channels: at each pixel they get mean 0 and variance 1, then a scale and a bias each.

    (N, channels, H, W) -> the same, or the same without N; floating. Parameters are those of nn.LayerNorm.

    Raises ShapeError for a tensor that is no image or has another number of channels.

    >>> LayerNorm2d(2)(torch.tensor([[[[1.0]], [[3.0]]]])).flatten()
    tensor([-1.0000,  1.0000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__(channels, eps=eps)

    def forward(self, input: Tensor) -> Tensor:
        image_size(input, "LayerNorm2d", self.normalized_shape[0])
        channels_last = input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last)
        last = input.movedim(-3, -1)  # (N, H, W, C)
        normed = F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, -3)
        return normed if channels_last and not input.is_contiguous() else normed.contiguous()
