"""Filters that don't grow where the maps shrink.

Source: Géron, Hands-On Machine Learning, chapter 14: a pooling halves both sides of the maps, so that their number can
be doubled and the work still falls; Simonyan and Zisserman (2014) and He et al. (2015) build all their networks so.
"""

from itertools import pairwise

from torch import nn

from striate import layers
from striate.inspection.advice.finding import Finding
from striate.inspection.advice.network import Network, SkippedError
from striate.inspection.advice.surgery import Surgery, refit
from striate.inspection.tracing import Call

Stride = tuple[float, float]


def narrow_stages(network: Network) -> list[Finding]:
    """Stages that have no more maps than the one before, though a pooling or a stride has made the maps smaller.

    A stage is what lies on maps of one stride, and its width the most maps that one layer or block makes there, so that
    the branches of a block count together. Only stages with convolutions count; a first layer with a stride is none,
    since it brings large images down to a size for the stages, together with the pooling behind it.

    Raises:
        SkippedError: if the stride of a convolution is not known.
    """
    if any(call.field is None for call in network.convolutions):
        raise SkippedError("it is not known which pixels all of its convolutions see")
    widths = _widths(network)
    steps = [(a, b) for a, b in pairwise(widths) if b[0] * b[1] > a[0] * a[1]]
    narrow = [(a, b) for a, b in steps if widths[b] <= widths[a]]
    if not narrow:
        return []
    factors = _factors(widths, steps)
    there = {call.name for call in network.convolutions if _stride(call) in {b for _, b in narrow}}
    before, after = narrow[0]
    shown = " and ".join(f"from {widths[a]} to {widths[b]} where the stride grows to {_by(b)}" for a, b in narrow)
    plain = all(type(call.module) is nn.Conv2d for call in network.convolutions)
    return [
        Finding(
            rule="narrow-stage",
            layers=tuple(dict.fromkeys(call.name for call in network.convolutions if call.name in there)),
            found=f"The maps become smaller and not more: {shown}.",
            numbers={"stages": len(narrow), "maps_before": widths[before], "maps": widths[after]},
            change="Double them there, and keep the proportions behind it: "
            f"{' → '.join(str(round(width * factors[stride])) for stride, width in widths.items())} maps.",
            manual="" if plain else "a layer is not a plain convolution",
            surgery=_widening(network, factors) if plain else None,
        )
    ]


def _widths(network: Network) -> dict[Stride, int]:
    """The most maps made at each stride that has convolutions, in the order in which the strides are met."""
    first, *others = network.convolutions
    calls = others if first.module.stride not in (1, (1, 1)) and others else network.convolutions
    widths = {stride: 0 for call in calls if (stride := _stride(call)) is not None}
    for call in network.blocks:
        stride = _stride(call)
        if stride in widths and len(call.made) == 4 and _makes_maps(call.module):
            widths[stride] = max(widths[stride], call.made[1])
    return widths


def _makes_maps(module: nn.Module) -> bool:
    """Whether the number of maps is the module's own doing: not in poolings, nor in what only stands one by one."""
    return any(True for _ in module.parameters()) and not isinstance(module, nn.Sequential)


def _factors(widths: dict[Stride, int], steps: list[tuple[Stride, Stride]]) -> dict[Stride, float]:
    """By how much each stage is widened: one that grew keeps its growth, one that did not gets twice the one before."""
    factors = dict.fromkeys(widths, 1.0)
    for before, after in steps:
        growth = widths[after] / widths[before]
        factors[after] = factors[before] * (1.0 if growth > 1 else 2 / growth)
    return factors


def _widening(network: Network, factors: dict[Stride, float]) -> Surgery:
    made = [call for call in network.calls if isinstance(call.module, nn.Conv2d | layers.PaddedShortcut)]
    wider = {call.name: factors[stride] for call in made if (stride := _stride(call)) in factors}

    def widen(model: nn.Module, shape: tuple[int, int, int]) -> None:
        refit(model, shape, wider)

    return widen


def _stride(call: Call) -> Stride | None:
    if call.field is None or None in call.field.stride:
        return None
    down, right = call.field.stride
    return (down, right)  # type: ignore[return-value]


def _by(stride: Stride) -> str:
    down, right = stride
    return f"{down:g}" if down == right else f"{down:g}×{right:g}"
