"""What a model learns from images before the first step."""

import torch
from torch import Tensor, nn

from striate.layers import WhiteningConv2d

IMAGES, VALUES = 5000, 2**22  # how many are looked at at most, and how many pixels' values they have in all


def fit(model: nn.Module, images: Tensor) -> None:
    """Set the filters of a first layer that whitens, `layers.WhiteningConv2d`; other models stay as they are.

    Args:
        model: with fresh weights.
        images: training images as the model gets them, float32 (N, C, H, W).
    """
    for layer in model.modules():
        if isinstance(layer, WhiteningConv2d):
            layer.fit(images)


def fit_indices(model: nn.Module, count: int, values: int) -> Tensor:
    """Which of `count` images of so many values each `fit` is to see: int64 positions, evenly spaced, or none."""
    whitens = any(isinstance(layer, WhiteningConv2d) for layer in model.modules())
    return evenly_spaced(count, values) if whitens else torch.empty(0, dtype=torch.int64)


def evenly_spaced(count: int, values: int) -> Tensor:
    """Positions of as many of `count` images, of so many values each, as are looked at: int64, evenly spaced."""
    most = max(1, min(IMAGES, VALUES // values, count))
    return torch.arange(most) * count // most


def he_normal(model: nn.Module, *last: nn.Linear) -> None:
    """Draw every convolution and dense layer as He et al. (2015) do for ReLU networks, by what comes in.

    Biases start at 0, and so do the weights of the `last` layers: the first loss is that of an even guess.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in last:
        nn.init.zeros_(layer.weight)
