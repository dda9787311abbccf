"""Layers with more parameters than they need: large kernels, and dense weights for every cell of feature maps.

Sources: Simonyan and Zisserman (2014, section 2.3): a stack of 3×3 sees as much as one large kernel, with fewer
weights. Szegedy et al., "Rethinking the Inception Architecture", 2015, section 3.1: where the number of channels grows
by a factor, it grows by equal factors from layer to layer of the stack. Lin, Chen and Yan, "Network In Network", 2013,
section 3.2: the mean of each feature map has no weights to overfit; Szegedy et al. (2014) and He et al. (2015) follow
it.
"""

import copy
import math
from itertools import pairwise
from typing import NamedTuple

from torch import nn

from striate import layers
from striate.inspection.advice.rule import Finding, Network, own_parameters, share, short
from striate.inspection.advice.surgery import Surgery, convolution, put, redrawn
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.trace import Call
from striate.units import plural

MATERIAL_SHARE = 0.05  # of the network's parameters or multiply-adds: less is not worth a finding


class _Costs(NamedTuple):
    """Weights, and multiply-adds for one image, of one kernel and of its stack."""

    weights: int
    stacked_weights: int
    work: int
    stacked_work: int


def large_kernels(network: Network) -> list[Finding]:
    """Find kernels larger than 3×3 after the first layer whose stacks would be cheaper, all of them together.

    Only square kernels of odd size without dilation are considered; not those as large as their feature map, which are
    dense layers. The stack of a k×k kernel is (k − 1) / 2 layers of 3×3, and has its stride in the last one.
    """
    first = next((call.module for call in network.convolutions), None)
    found: dict[str, _Costs] = {}
    for call in network.convolutions:
        conv = call.module
        if conv is not first and isinstance(conv, nn.Conv2d) and _stackable(conv, call):
            weights, stacked = conv.weight.numel(), _stacked_weights(conv)
            work, stacked_work = _work(conv, call, [weights]), _work(conv, call, stacked)
            if sum(stacked) < weights and stacked_work < work:
                found[call.name] = _Costs(weights, sum(stacked), work, stacked_work)
    if not found:
        return []
    before, after, work, stacked_work = (sum(column) for column in zip(*found.values(), strict=True))
    material = MATERIAL_SHARE * network.parameters, MATERIAL_SHARE * network.table.multiply_adds
    if before - after < material[0] and work - stacked_work < material[1]:
        return []
    calls = [call for call in network.convolutions if call.name in found]
    sizes = sorted({call.module.kernel_size[0] for call in calls if isinstance(call.module, nn.Conv2d)})
    plain = all(type(call.module) is nn.Conv2d for call in calls)
    return [
        Finding(
            rule="large-kernel",
            layers=tuple(found),
            found=f"{plural(len(calls), 'kernel')} of {' and '.join(f'{size}×{size}' for size in sizes)} after "
            f"the first layer: {before:,} weights, "
            f"{short(work)} multiply-adds; as 3×3 kernels with the same receptive field, {after:,} and "
            f"{short(stacked_work)}.",
            numbers={
                "weights": before,
                "stacked_weights": after,
                "multiply_adds": work,
                "stacked_multiply_adds": stacked_work,
            },
            change=f"Stack {' and '.join(map(_stack_text, sizes))}.",
            manual="" if plain else "a layer is not a plain convolution",
            surgery=_stacking({call.name: network.followers(call) for call in calls}) if plain else None,
        )
    ]


def _stackable(conv: nn.Conv2d, call: Call) -> bool:
    tall, wide = conv.kernel_size
    whole = call.input_shape[2:] == (tall, wide) and call.output_shape[2:] == (1, 1)
    return tall == wide and tall > 3 and tall % 2 == 1 and set(conv.dilation) == {1} and not whole


def _channels(conv: nn.Conv2d) -> list[int]:
    """Channels before, between and behind the layers of the stack, divisible by the groups."""
    layers = (conv.kernel_size[0] - 1) // 2
    growth = (conv.out_channels / conv.in_channels) ** (1 / layers)
    between = [conv.in_channels * growth**number for number in range(1, layers)]
    groups = conv.groups
    return [conv.in_channels, *(max(1, round(each / groups)) * groups for each in between), conv.out_channels]


def _stacked_weights(conv: nn.Conv2d) -> list[int]:
    """Weights of each layer of the stack."""
    return [9 * before * after // conv.groups for before, after in pairwise(_channels(conv))]


def _work(conv: nn.Conv2d, call: Call, weights: list[int]) -> int:
    """Multiply-adds of layers with these numbers of weights; the last one has the call's output size."""
    height, width = call.input_shape[2:]
    total = 0
    for count, (top, left) in zip(weights[:-1], _paddings(conv), strict=False):
        height, width = height + 2 * top - 2, width + 2 * left - 2
        total += count * height * width
    return total + weights[-1] * math.prod(call.output_shape[2:])


def _paddings(conv: nn.Conv2d) -> list[tuple[int, int]]:
    """The padding of each layer of the stack, down and to the right, which together are the convolution's own."""
    layers = (conv.kernel_size[0] - 1) // 2
    if isinstance(conv.padding, str):
        return [(int(conv.padding == "same"),) * 2] * layers
    shares = [[each // layers + (number < each % layers) for number in range(layers)] for each in conv.padding]
    return list(zip(*shares, strict=True))


def _stacking(behind: dict[str, list[nn.Module]]) -> Surgery:
    def stack(model: nn.Module, shape: tuple[int, int, int]) -> None:
        for path, followers in behind.items():
            put(model, path, _stack(model.get_submodule(path), followers))  # type: ignore[arg-type]

    return stack


def _stack(conv: nn.Conv2d, followers: list[nn.Module]) -> nn.Sequential:
    """Replace a convolution by 3×3 ones, with its own normalisation and activation between them."""
    norm = next((each for each in followers[:1] if isinstance(each, nn.BatchNorm2d)), None)
    activation = next(
        (each for each in followers if layer_kinds.activation(each) and not own_parameters(each)), nn.ReLU()
    )
    stack: list[nn.Module] = []
    channels, paddings = _channels(conv), _paddings(conv)
    for number, (before, after) in enumerate(pairwise(channels)):
        last = number == len(channels) - 2
        options = {"kernel_size": 3, "padding": paddings[number], "stride": conv.stride if last else 1}
        stack.append(convolution(conv, before, after, **options))
        if not last:
            stack += [nn.BatchNorm2d(after)] if norm is not None else []
            stack.append(copy.deepcopy(activation))
    return nn.Sequential(*stack).to(conv.weight)


def _stack_text(size: int) -> str:
    layers = (size - 1) // 2
    counts = {2: "two", 3: "three", 4: "four", 5: "five"}
    return f"{counts.get(layers, layers)} 3×3 convolutions instead of each {size}×{size}"


LARGE_SHARE = 0.5  # of the network's parameters, above which a flattened head is a finding


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
