"""Weight initialisation: from training images (whitening filters), and for ReLU networks where no paper gives one."""

import math

import torch
from torch import Tensor, nn

from striate.layers import WhiteningConv2d

IMAGES, VALUES = 5000, 2**22  # the most images, and the most values in all, that filters are computed from


def fit(model: nn.Module, images: Tensor) -> None:
    """Compute the filters of a whitening first layer, `layers.WhiteningConv2d`; other models are not changed.

    Args:
        model: with fresh weights.
        images: training images, normalised as the model's input, float32 (N, C, H, W).

    >>> network = create("quicknet_s", seed=0)
    >>> fit(network, torch.rand(100, 1, 28, 28))
    >>> [layer for layer in network.modules() if isinstance(layer, striate.layers.WhiteningConv2d)]
    [WhiteningConv2d(1, 18, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)]
    """
    for layer in model.modules():
        if isinstance(layer, WhiteningConv2d):
            layer.fit(images)


def fit_indices(model: nn.Module, count: int, values: int) -> Tensor:
    """Return the positions of the images for `fit`, of `count` images of so many values each: int64, maybe empty.

    >>> len(fit_indices(create("quicknet_s"), 60_000, 784)), len(fit_indices(create("mlp"), 60_000, 784))
    (5000, 0)
    """
    whitens = any(isinstance(layer, WhiteningConv2d) for layer in model.modules())
    return evenly_spaced(count, values) if whitens else torch.empty(0, dtype=torch.int64)


def evenly_spaced(count: int, values: int) -> Tensor:
    """Return evenly spaced positions in `count` images of so many values each, within `IMAGES` and `VALUES`: int64."""
    most = max(1, min(IMAGES, VALUES // values, count))
    return torch.arange(most) * count // most


def fan_out_normal(model: nn.Module) -> None:
    """Draw the weights of convolutions as He et al. (2015) do for the backward pass: deviation sqrt(2 / fan-out).

    Fan-out counts the outputs that a value of the input takes part in, so only those of its own group. Biases start at
    0.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels // module.groups * module.weight[0, 0].numel()
            nn.init.normal_(module.weight, std=math.sqrt(2) / math.sqrt(fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def normal_dense(*layers: nn.Linear) -> None:
    """Draw the weights of dense layers normal with deviation 0.01, as AlexNet's authors do; biases start at 0."""
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)


def he_normal(model: nn.Module, *last: nn.Linear) -> None:
    """Draw the weights of convolutions and dense layers as He et al. (2015) do for ReLU networks, by fan-in.

    Biases start at 0, and so do the weights of the `last` layers: the first loss is that of uniform probabilities.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in last:
        nn.init.zeros_(layer.weight)
