"""Narrow stages: numbers of channels that don't grow where the feature maps shrink.

Source: Géron, Hands-On Machine Learning, chapter 14: a pooling halves both sides of the feature maps, so that their
number can be doubled and the work still falls; He et al. (2015) build all their networks so, and Simonyan and Zisserman
(2014) theirs up to 512 channels.
"""

import math
from itertools import pairwise

from torch import nn

from striate.inspection.advice.rule import CONVOLUTIONS, Finding, Network, SkippedError
from striate.inspection.advice.surgery import Surgery, refit
from striate.inspection.structure.trace import Call

Stride = tuple[float, float]


def narrow_stages(network: Network) -> list[Finding]:
    """Find stages with no more channels than the one before, though their feature maps are smaller.

    A stage is all layers at one stride, and its width the most channels that one layer or block makes there, so that
    the branches of a block count together. Only stages with convolutions count; a first layer with a stride is none,
    since it brings large images down to a size for the stages, together with the pooling behind it.

    Raises:
        SkippedError: if the stride of a convolution is not known.
    """
    if any(call.field is None for call in network.convolutions):
        raise SkippedError("the receptive field of a convolution is unknown")
    own = _own(network)
    taken = _taken(network, own)
    stages = _stages(network, own, taken)
    widths = _widths(network, _counted(network, stages, taken))
    steps = [(a, b) for a, b in pairwise(widths) if b[0] * b[1] > a[0] * a[1]]
    narrow = [(a, b) for a, b in steps if widths[b] <= widths[a]]
    if not narrow:
        return []
    factors = _factors(widths, steps)
    there = {call.name for call in network.convolutions if stages.get(call.name) in {b for _, b in narrow}}
    before, after = narrow[0]
    shown = " and ".join(f"from {widths[a]} to {widths[b]} where the stride grows to {_by(b)}" for a, b in narrow)
    wider = {path: factors[stage] for path, stage in stages.items() if stage in factors}
    manual = _manual(network, wider)
    return [
        Finding(
            rule="narrow-stage",
            layers=tuple(dict.fromkeys(call.name for call in network.convolutions if call.name in there)),
            found=f"The feature maps shrink, and the number of channels does not grow: {shown}.",
            numbers={"stages": len(narrow), "maps_before": widths[before], "maps": widths[after]},
            change="Double the channels there, and keep the proportions behind it: "
            f"{' → '.join(str(round(width * factors[stride])) for stride, width in widths.items())} channels.",
            manual=manual,
            surgery=None if manual else _widening(wider),
        )
    ]


def _stages(network: Network, own: dict[str, Stride], taken: dict[str, Stride]) -> dict[str, Stride]:
    """The stride of each module's output; of outputs that are added to others, that at which a convolution takes them.

    A layer in front of a pooling has to make as many channels as the residual block behind it adds to them. Gates that
    outputs are multiplied by, of one value a channel, have no stride and don't count.
    """
    tied = {path: network.ties.tied(path) & own.keys() for path in own}
    return {path: taken[path] if len(tied[path]) > 1 else stride for path, stride in own.items()}


def _counted(network: Network, stages: dict[str, Stride], taken: dict[str, Stride]) -> dict[str, Stride]:
    """The stage that each module counts for: the next one, for a layer among others whose output is pooled at once."""
    made = {call.name for call in network.convolutions if call.name in stages}
    busy = {stages[path] for path in made if taken[path] == stages[path]}
    return {path: taken[path] if stage in busy else stage for path, stage in stages.items()}


def _own(network: Network) -> dict[str, Stride]:
    """The stride of each module's output, where it has one.

    Behind squeeze-and-excitation, and some normalisations, every unit sees the whole image and the field has no stride.
    Where that is so for some feature maps, the strides of all follow from their sizes.
    """
    feature_maps = [call for call in network.blocks if math.prod(call.output_shape[2:]) > 1]
    if any(_stride(call) is None for call in feature_maps if isinstance(call.module, CONVOLUTIONS)):
        return {call.name: _shrunk(network, call) for call in feature_maps}
    return {call.name: stride for call in network.blocks if (stride := _stride(call)) is not None}


def _shrunk(network: Network, call: Call) -> Stride:
    (height, width), (rows, columns) = network.shape[1:], call.output_shape[2:]
    return height / rows, width / columns


def _taken(network: Network, own: dict[str, Stride]) -> dict[str, Stride]:
    """The stride at which each module's output, or a sum with it, first enters a convolution; or else its own."""
    at = {call.output_shape[2:]: own[call.name] for call in network.blocks if call.name in own}
    found = {}
    for path, stride in own.items():
        places = [at[size] for size in network.ties.taken(path) if size in at]
        later = [place for place in places if math.prod(place) >= math.prod(stride)]
        found[path] = min(later, key=math.prod, default=stride)
    return found


def _widths(network: Network, stages: dict[str, Stride]) -> dict[Stride, int]:
    """The most channels of each stage that has convolutions, in the order in which the stages are met."""
    first, *others = network.convolutions
    calls = others if first.module.stride not in (1, (1, 1)) and others else network.convolutions
    widths = {stages[call.name]: 0 for call in calls if call.name in stages}
    for call in network.blocks:
        stage = stages.get(call.name)
        if stage in widths and len(call.output_shape) == 4 and _sets_channels(call.module):
            widths[stage] = max(widths[stage], call.output_shape[1])
    return widths


def _sets_channels(module: nn.Module) -> bool:
    """Tell whether the module determines its number of channels: not a pooling, nor a plain sequence."""
    return any(True for _ in module.parameters()) and not isinstance(module, nn.Sequential)


def _factors(widths: dict[Stride, int], steps: list[tuple[Stride, Stride]]) -> dict[Stride, float]:
    """Widening factor of each stage: one that grew keeps its growth, one that did not gets twice the one before."""
    factors = dict.fromkeys(widths, 1.0)
    for before, after in steps:
        growth = widths[after] / widths[before]
        factors[after] = factors[before] * (1.0 if growth > 1 else 2 / growth)
    return factors


def _manual(network: Network, wider: dict[str, float]) -> str:
    """The reason why the stages can't be widened automatically; empty if they can."""
    if any(type(call.module) is not nn.Conv2d for call in network.convolutions):
        return "a layer is not a plain convolution"
    for path, factor in wider.items():
        tied = network.ties.tied(path)
        for other in sorted(tied) if path in tied else ():
            if wider.get(other, factor) != factor:
                return f"the outputs of {path} and {other}, which belong to different stages, are added to each other"
    return ""


def _widening(wider: dict[str, float]) -> Surgery:
    def widen(model: nn.Module, shape: tuple[int, int, int]) -> None:
        refit(model, shape, wider)

    return widen


def _stride(call: Call) -> Stride | None:
    if call.field is None or not all(call.field.stride):  # 0 where all units see the whole image
        return None
    down, right = call.field.stride
    return (down, right)  # type: ignore[return-value]


def _by(stride: Stride) -> str:
    down, right = stride
    return f"{down:g}" if down == right else f"{down:g}×{right:g}"
