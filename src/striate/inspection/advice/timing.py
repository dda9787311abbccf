"""Layers whose time is out of proportion to what they compute."""

import math
import time
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from striate import layers
from striate.inspection import vocabulary as words
from striate.inspection.advice.finding import Finding
from striate.inspection.advice.network import Network
from striate.inspection.advice.surgery import Surgery, put, swapping
from striate.inspection.advice.text import share, size
from striate.inspection.subject import like
from striate.inspection.tracing import layers_of
from striate.models import evaluating

PASSES = 5  # of which each layer's quickest counts: whatever else the machine does only slows
SECONDS = 0.5  # for a pass at most, if fewer images make it so
LARGE = 0.25  # of the time of a pass
RATIO = 3  # of its share of the time to its share of the multiply-adds

SQUASHES = (nn.Tanh, nn.Sigmoid, layers.ScaledTanh)
_MOVES = "Its time goes with the values that it reads and writes"
_RESPONSE = (nn.LocalResponseNorm, layers.LocalResponseNorm)


def slow_layers(network: Network) -> list[Finding]:
    """Layers that take a quarter of a forward pass or more, and three times their share of the multiply-adds or more.

    Measured on this machine, in evaluation mode, on noise. Layers of one type are looked at together if they have no
    multiply-adds, since there are often many and each is small.
    """
    seconds, total, images = _measured(network)
    work = {row.layer: row.multiply_adds or 0 for row in network.table.rows}
    groups: dict[str, list[str]] = defaultdict(list)
    for path in seconds:
        kind = words.activation(module := network.module.get_submodule(path)) or words.kind(module)
        groups[path if work.get(path) else kind].append(path)
    found = []
    for paths in groups.values():
        part = sum(seconds[path] for path in paths) / total
        useful = sum(work.get(path, 0) for path in paths) / max(network.table.multiply_adds, 1)
        if part >= LARGE and part >= RATIO * useful:
            found.append(_finding(network, paths, (part, useful, total / images)))
    return found


def _finding(network: Network, paths: list[str], measured: tuple[float, float, float]) -> Finding:
    part, useful, seconds = measured
    kind = words.activation(module := network.module.get_submodule(paths[0])) or words.kind(module)
    moved = sum(4 * (math.prod(call.received) + math.prod(call.made)) for call in network.calls if call.name in paths)
    count = f"{len(paths)} layers ({kind}) take" if len(paths) > 1 else f"The {kind} takes"
    change, surgery = _change(network, paths)
    does = f"{share(useful, 1)} of the multiply-adds" if useful else "no multiply-adds"
    return Finding(
        rule="slow-layer",
        layers=tuple(paths),
        found=f"{count} {share(part, 1)} of the time of a forward pass and {does}: "
        f"{1000 * part * seconds:.2g} of {1000 * seconds:.2g} ms an image on this {network.device.type}, for "
        f"{size(moved)} read and written.",
        numbers={"time": part * seconds, "share": part, "multiply_adds_share": useful, "bytes": moved},
        change=change,
        manual="" if surgery else "it depends on what the layer is for",
        surgery=surgery,
    )


def _change(network: Network, paths: list[str]) -> tuple[str, Surgery | None]:
    module = network.module.get_submodule(paths[0])
    if isinstance(module, _RESPONSE):
        maps = {call.name: call.made[1] for call in network.calls if call.name in paths}
        return (
            "Take batch normalisation instead, as networks since 2015 do; VGG (2014, section 2.1) found no use in "
            "response normalisation.",
            _norming(maps),
        )
    if isinstance(module, SQUASHES):
        return "Take a ReLU, which costs a comparison for each value and no exponential.", swapping(paths, nn.ReLU())
    if words.activation(module) or isinstance(module, words.NORMS):
        return f"{_MOVES}: apply it behind the pooling, on fewer values, where both commute.", None
    if isinstance(module, (*words.MAX_POOLS, *words.AVG_POOLS)):
        return f"{_MOVES}: pool fewer or smaller maps, or let the convolution in front take the step.", None
    if isinstance(module, nn.Conv2d):
        inputs = module.in_channels // module.groups
        return (
            f"With {inputs} input map{'s' if inputs != 1 else ''} a group its time goes with the values that it "
            "writes: make its map smaller (a stride, a smaller image) or its filters fewer.",
            None,
        )
    return f"{_MOVES}: let it run on smaller or fewer maps.", None


def _norming(maps: dict[str, int]) -> Surgery:
    def norm(model: nn.Module, shape: tuple[int, int, int]) -> None:
        for path, count in maps.items():
            put(model, path, nn.BatchNorm2d(count).to(like(model)))

    return norm


def _measured(network: Network) -> tuple[dict[str, float], float, int]:
    """Seconds of each layer, the quickest of several passes, and of a whole pass; and of how many images."""
    images, began = 1, 0.0
    while True:
        passes = [_pass(network, images) for _ in range(2)]
        began = min(whole for _, whole in passes)
        if images >= network.batch_size or began > SECONDS / 4:
            break
        images = min(network.batch_size, 4 * images)
    passes += [_pass(network, images) for _ in range(PASSES - 2)]
    quickest = {path: min(seconds[path] for seconds, _ in passes) for path in passes[0][0]}
    return quickest, max(min(whole for _, whole in passes), sum(quickest.values())), images


def _pass(network: Network, images: int) -> tuple[dict[str, float], float]:
    """One forward pass on noise: seconds of each layer and of all."""
    weights = like(network.module)
    noise = torch.rand(images, *network.shape, generator=torch.Generator().manual_seed(0)).to(weights)
    noise = noise.contiguous(memory_format=torch.channels_last)
    seconds: dict[str, float] = defaultdict(float)
    handles = []
    for path, layer in layers_of(network.module):

        def begin(module: nn.Module, args: Any, path: str = path) -> None:
            seconds[path] -= _now(network.device)

        def end(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            seconds[path] += _now(network.device)

        handles += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        with evaluating(network.module), torch.no_grad():
            began = _now(network.device)
            network.module(noise)
            whole = _now(network.device) - began
    finally:
        for handle in handles:
            handle.remove()
    return seconds, whole


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
