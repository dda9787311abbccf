"""Layers of a network computed in a faster way while it is trained on the CPU, equal up to rounding.

Wide 3×3 convolutions and those whose filters cover their image, see convolutions.py; depthwise ones, see depthwise.py;
those over small maps, see small_maps.py; averages of few channels, see pooling.py; frozen normalisations, see
folding.py. The layers that may gain get another method for as long as they compute, and the others none: a context that
looks at every function, as `ReplacedConvolutions`, takes 3 to 6 % of a step of a small network.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.acceleration import convolutions, depthwise, small_maps
from striate.acceleration.folding import FoldedNorms
from striate.acceleration.pooling import averaged
from striate.acceleration.replacing import Replacement, is_wide
from striate.layers import AvgPool2d, BlurPool2d, SameConv2d, Subsampling2d


class TrainingLayers:
    """Context in which to compute a model's outputs for training.

    Args:
        model: a network.
        frozen: its batch normalisations that stay in evaluation mode and are not trained.
        device: where it is trained.
        precision: in which: "float32" or "bfloat16".
    """

    def __init__(self, model: nn.Module, frozen: list[nn.Module], device: torch.device, precision: str):
        self.folded = FoldedNorms(model, frozen) if frozen else None
        layers = model.modules() if device.type == "cpu" else ()
        self.replacements = {layer: found for layer in layers if (found := replacement(layer, precision))}
        self._methods = [(vars(layer), *_method(layer, found)) for layer, found in self.replacements.items()]

    def __enter__(self) -> None:
        if self.folded:
            self.folded.__enter__()
        for attributes, name, method in self._methods:
            attributes[name] = method

    def __exit__(self, *exception: Any) -> None:
        for attributes, name, _ in self._methods:
            del attributes[name]
        if self.folded:
            self.folded.__exit__(*exception)


def replacement(layer: nn.Module, precision: str) -> Replacement | None:
    """The function that may be faster than F.conv2d or F.avg_pool2d in a layer, if there is one."""
    if isinstance(layer, (AvgPool2d, Subsampling2d)):
        return averaged if precision == "float32" else None
    if isinstance(layer, BlurPool2d):
        return depthwise.with_fast_gradients
    if not isinstance(layer, nn.Conv2d) or not (isinstance(layer, SameConv2d) or _is_plain(layer)):
        return None
    if depthwise.is_depthwise(layer):
        return depthwise.with_fast_gradients
    if precision == "float32" and is_wide(layer.weight, convolutions.LEAST_CHANNELS):
        return convolutions.with_winograd_gradients
    if min(layer.kernel_size) >= convolutions.LARGE:
        return convolutions.whole_image
    return small_maps.with_fast_gradients if precision == "bfloat16" and small_maps.may_gain(layer) else None


def _is_plain(layer: nn.Conv2d) -> bool:
    """Tell whether it computes as nn.Conv2d does, with zeros around the image."""
    return type(layer)._conv_forward is nn.Conv2d._conv_forward and layer.padding_mode == "zeros"


def _method(layer: nn.Module, function: Replacement) -> tuple[str, Callable[..., Tensor]]:
    """The name of the layer's method that calls PyTorch's function, and a method that calls the other first."""
    if isinstance(layer, nn.Conv2d) and not isinstance(layer, SameConv2d):
        pytorchs = layer._conv_forward

        def convolved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            found = function(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
            return pytorchs(x, weight, bias) if found is None else found

        return "_conv_forward", convolved
    name = "_average" if isinstance(layer, (AvgPool2d, Subsampling2d)) else "_convolve"
    usual: Callable[..., Tensor] = getattr(layer, name)

    def computed(*args: Any, **kwargs: Any) -> Tensor:
        found = function(*args, **kwargs)
        return usual(*args, **kwargs) if found is None else found

    return name, computed
