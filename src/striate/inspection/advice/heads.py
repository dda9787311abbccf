"""Flattened heads: dense weights for every cell of every feature map.

Source: Lin, Chen and Yan, "Network In Network", 2013, section 3.2: the mean of each feature map instead, which has no
weights to overfit; Szegedy et al. (2014) and He et al. (2015) follow it.
"""

import math

from torch import nn

from striate import layers
from striate.inspection.advice.finding import Finding, share
from striate.inspection.advice.network import Network, own_parameters
from striate.inspection.advice.surgery import Surgery, convolution, put, redrawn
from striate.inspection.structure.trace import Call

LARGE_SHARE = 0.5  # of the network's parameters


def flattened_head(network: Network) -> list[Finding]:
    """Find a dense layer on flattened feature maps that holds more than half of all parameters.

    A convolution whose kernel is as large as its feature map is such a layer too.
    """
    found = _flattening(network)
    if found is None or own_parameters(found[0].module) <= LARGE_SHARE * network.parameters:
        return []
    call, channels, cells = found
    own = own_parameters(call.module)
    plain = type(call.module) in (nn.Linear, nn.Conv2d)
    return [
        Finding(
            rule="flattened-head",
            layers=(call.name,),
            found=f"Takes {channels} feature maps of {cells} cells each as {channels * cells:,} separate inputs: "
            f"{own:,} of {network.parameters:,} parameters ({share(own, network.parameters)}).",
            numbers={"parameters": own, "share": own / network.parameters, "maps": channels, "cells": cells},
            change=f"Average each feature map first (global average pooling): the layer then takes {channels} means.",
            manual="" if plain else "the layer is of a custom type",
            surgery=_averaging(call.name, channels, cells) if plain else None,
        )
    ]


def _flattening(network: Network) -> tuple[Call, int, int] | None:
    """The first dense layer, if it takes whole feature maps, with the number of channels and of cells of each."""
    channels = None
    for call in network.calls:
        if isinstance(call.module, nn.Linear):
            cells, rest = divmod(call.module.in_features, channels) if channels else (0, 1)
            flattened = channels and not rest and cells > 1 and len(call.input_shape) == 2
            return (call, channels, cells) if channels and flattened else None
        whole = isinstance(call.module, nn.Conv2d) and call.input_shape[2:] == call.module.kernel_size
        if whole and call.output_shape[2:] == (1, 1) and math.prod(call.input_shape[2:]) > 1:
            return call, call.input_shape[1], math.prod(call.input_shape[2:])
        if len(call.output_shape) == 4:
            channels = call.output_shape[1]
    return None


def _averaging(path: str, channels: int, cells: int) -> Surgery:
    def average(model: nn.Module, shape: tuple[int, int, int]) -> None:
        old = model.get_submodule(path)
        if isinstance(old, nn.Conv2d):
            new = convolution(old, old.in_channels, old.out_channels, kernel_size=1, padding=0)
            put(model, path, nn.Sequential(nn.AdaptiveAvgPool2d(1), new))
        elif isinstance(old, nn.Linear):
            dense = nn.Linear(channels, old.out_features, bias=old.bias is not None, device="meta")
            dense.weight = redrawn(old.weight, (old.out_features, channels), (old.in_features, channels))
            dense.bias = old.bias
            put(model, path, nn.Sequential(nn.Unflatten(1, (channels, cells, 1)), layers.GlobalAvgPool2d(), dense))

    return average
