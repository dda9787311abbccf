"""The invariance of a network as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from striate.drawing import aligned, minus, percent
from striate.inspection.shifting import PROTOCOLS, published
from striate.units import by

if TYPE_CHECKING:
    from striate.inspection.equivariance import LayerShift
    from striate.inspection.invariances import Invariance


def invariance_text(found: Invariance) -> str:
    """The definitions, a table of all curves, and one of the layers."""
    accuracy = "" if found.accuracy is None else f", accuracy {percent(found.accuracy)}"
    parts = [f"{found.model}: {found.n:,} images{accuracy}; {found.milliseconds:.2f} ms an image"]
    parts.append("\n".join(_protocols()))
    rows: list[tuple[str, ...]] = [("change", "strength", "consistency", "of the right", "accuracy", "moved")]
    for curve in found.curves:
        for number, point in enumerate(curve.points):
            shares = (percent(value, 1) for value in (point.consistency, point.steady, point.accuracy))
            rows.append((curve.name if number == 0 else "", f"{point.strength:g}", *shares, f"{point.moved:.3f}"))
    parts.append(aligned(rows, "<>>>>>"))
    parts.append(
        "consistency: the top class stays; of the right: among images that are right unchanged; moved: total\n"
        "variation distance of the probabilities"
    )
    if found.layers:
        parts += [_layers(found.layers), LAYERS]
    return "\n\n".join(parts)


LAYERS = (
    "equivariance: how far the map of the image, shifted around its edge, is from the shifted map; invariance: from\n"
    "the map itself; 0 is perfect, 1 as far as another image's. kept: numbers given for each taken; reached: share of\n"
    "the values taken that the output depends on"
)


def _protocols() -> list[str]:
    says = ["translation: two shifts of one image, each drawn evenly from 0 … d pixels down and right, are compared"]
    return [*says, *(f"  {name}: {what}" for name, (_, what) in PROTOCOLS.items())]


def comparison_text(found: Sequence[Invariance]) -> str:
    """The networks side by side: accuracy, shift consistency under each protocol, time."""
    rows: list[tuple[str, ...]] = [("network", "accuracy", *(f"shift, {name}" for name in PROTOCOLS), "ms an image")]
    for each in found:
        shares = (each.accuracy, *(each.shift_consistency(name).consistency for name in PROTOCOLS))
        rows.append((each.model, *(percent(share) for share in shares), f"{each.milliseconds:.2f}"))
    table = f"shift consistency (Zhang 2019), up to {published(found[0].side)} pixels\n{aligned(rows, '<>>>>>')}"
    return "\n\n".join([table, "\n".join(gains(found))]) if found[1:] else table


def gains(found: Sequence[Invariance]) -> list[str]:
    """What each of the other networks has over the first one, and what it costs: a sentence each."""
    first, *others = found
    said = []
    for each in others:
        more = each.shift_consistency().consistency - first.shift_consistency().consistency
        parts = [f"{_points(more)} of shift consistency (crop)"]
        if first.accuracy is not None and each.accuracy is not None:
            parts.append(f"{_points(each.accuracy - first.accuracy)} of accuracy")
        time = each.milliseconds / first.milliseconds
        said.append(f"{each.model} against {first.model}: {', '.join(parts)}, {time:.2f} times the time for an image.")
    return said


def _points(difference: float) -> str:
    return minus(f"{100 * difference:+.2f} points")


def _layers(layers: tuple[LayerShift, ...]) -> str:
    rows: list[tuple[str, ...]] = [("layer", "type", "size", "stride", "equivariance", "invariance", "kept", "reached")]
    for each in layers:
        size = by((each.maps, *each.size)) if each.size else str(each.maps)
        stride = "–" if each.stride is None else by_stride(each.stride)
        errors = ("–" if value is None else f"{value:.3f}" for value in (each.equivariance, each.invariance))
        rows.append((each.layer, each.type, size, stride, *errors, percent(each.kept, 0), percent(each.reached, 0)))
    return aligned(rows, "<<<>>>>>")


def by_stride(stride: tuple[float, float]) -> str:
    """(2.0, 2.0) as "2", (2.0, 4.0) as "2×4"."""
    down, right = stride
    return f"{down:g}" if down == right else f"{down:g}×{right:g}"
