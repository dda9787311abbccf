"""Layer scale: a residual branch that each channel enters by its own learned factor, small at the start.

Source: Touvron, Cord, Sablayrolles, Synnaeve, Jégou, "Going Deeper with Image Transformers", 2021, section 2.
"""

import torch
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers.blocks import Add
from striate.layers.padding import positive
from striate.layers.stochastic_depth import StochasticDepth


class ScaledResidual(nn.Module):
    """Residual block with layer scale: x + layer_scale · block(x), with one factor a channel.

    (N, channels, H, W) -> the same, or the same without N; floating.

    Args:
        block: from feature maps to feature maps of the same shape.
        initial: what the factors start with.
        drop_rate: probability with which training leaves the branch out of the sum, see `StochasticDepth`.

    Raises ShapeError where the block's output has another shape.

    >>> ScaledResidual(nn.ReLU(), 2, initial=0.5)(torch.ones(1, 2, 1, 1)).flatten()
    tensor([1.5000, 1.5000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, block: nn.Module, channels: int, initial: float = 1e-6, drop_rate: float = 0.0):
        super().__init__()
        self.block = block
        self.layer_scale = nn.Parameter(torch.full((positive(channels, "channels"), 1, 1), initial))
        self.stochastic_depth = StochasticDepth(drop_rate) if drop_rate else None
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.block(x)
        if branch.shape != x.shape:
            raise ShapeError(f"the block makes {tuple(branch.shape)} of {tuple(x.shape)}, which can't be added")
        if self.stochastic_depth is not None:
            branch = self.stochastic_depth(branch)
        return self.add(self.layer_scale * branch, x)
