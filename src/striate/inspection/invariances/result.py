"""Results of invariance measurements: curves, layers, and their tables as text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from striate.errors import ArgumentError
from striate.inspection.invariances.layers import LayerShift
from striate.inspection.invariances.perturbations import (
    PROTOCOLS,
    published,
)
from striate.inspection.structure.table import JSON_KEYS
from striate.units import aligned, by, minus, percent


@dataclass(frozen=True)
class Point:
    """Consistency and accuracy at one strength. Shares of the images, in [0, 1].

    Args:
        strength: see the curve's unit.
        consistency: of the images, how many keep their top class.
        steady: the same, of those that are classified correctly when unchanged; `None` without labels or if none is.
        accuracy: of the changed images; `None` without labels.
        moved: the total variation distance of the probabilities, half the sum of their differences, mean over images.

    >>> point = striate.invariance(run, data.test.images[:20], brief=True).shift_consistency()
    >>> point.strength, point.accuracy
    (1.0, None)
    """

    strength: float
    consistency: float
    steady: float | None
    accuracy: float | None
    moved: float


@dataclass(frozen=True)
class Curve:
    """One kind of perturbation at growing strength.

    Args:
        name: of the perturbation; translations are named by their protocol, "translation, crop".
        unit: what a strength means.
        compared: what is compared with what.
        points: least strength first.
        unchanged: the strength that leaves the image as it is; `None` if there is none.

    >>> curve = striate.invariance(run, data.test.images[:50]).curve("rotation")
    >>> curve.unit, curve.unchanged, curve.points[0].strength
    ('degrees, to the left or to the right', 0.0, 5)
    """

    name: str
    unit: str
    compared: str
    points: tuple[Point, ...]
    unchanged: float | None = None


@dataclass(frozen=True)
class Invariance:
    """Invariance of one network, as `invariance` measured it.

    Args:
        model: its name.
        n: how many images.
        accuracy: on the images unchanged; `None` without labels.
        side: the shorter side of the images, in pixels.
        curves: one for each kind of change.
        layers: invariance of each layer, under circular shifts.
        milliseconds: for one image, in batches of 64, on this machine.

    >>> found = striate.invariance(run, data.test.images[:50], brief=True)
    >>> found.n, found.side, 0 <= found.shift_consistency().consistency <= 1
    (50, 8, True)
    """

    model: str
    n: int
    accuracy: float | None
    side: int
    curves: tuple[Curve, ...]
    layers: tuple[LayerShift, ...] = ()
    milliseconds: float = field(default=0.0, compare=False)

    def curve(self, name: str) -> Curve:
        """Find a curve by its name.

        Raises:
            ArgumentError: naming those there are.
        """
        found = next((curve for curve in self.curves if curve.name == name), None)
        if found is None:
            raise ArgumentError(f"no curve '{name}'. Known: {'; '.join(curve.name for curve in self.curves)}.")
        return found

    def shift_consistency(self, protocol: str = "crop") -> Point:
        """Shift consistency (Zhang 2019): two shifts of up to a seventh of the side, as on ImageNet."""
        points = self.curve(f"translation, {protocol}").points
        return next(point for point in points if point.strength == published(self.side))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        layers = tuple({JSON_KEYS.get(key, key): value for key, value in asdict(each).items()} for each in self.layers)
        return {**asdict(self), "layers": layers}

    def text(self) -> str:
        """The result as tables for a terminal."""
        return invariance_text(self)


def invariance_text(found: Invariance) -> str:
    """The definitions, a table of all curves, and one of the layers."""
    accuracy = "" if found.accuracy is None else f", accuracy {percent(found.accuracy)}"
    parts = [f"{found.model}: {found.n:,} images{accuracy}; {found.milliseconds:.2f} ms an image"]
    parts.append("\n".join(_protocols()))
    rows: list[tuple[str, ...]] = [("change", "strength", "consistency", "of correct", "accuracy", "moved")]
    for curve in found.curves:
        for number, point in enumerate(curve.points):
            shares = (percent(value, 1) for value in (point.consistency, point.steady, point.accuracy))
            rows.append((curve.name if number == 0 else "", f"{point.strength:g}", *shares, f"{point.moved:.3f}"))
    parts.append(aligned(rows, "<>>>>>"))
    parts.append(
        "consistency: share of images that keep their top class; of correct: among those classified correctly when\n"
        "unchanged; moved: total variation distance of the probabilities"
    )
    if found.layers:
        parts += [_layers(found.layers), LAYERS]
    return "\n\n".join(parts)


LAYERS = (
    "equivariance: distance of the shifted image's feature map from the shifted feature map; invariance: from the\n"
    "feature map of the image itself; 0 is perfect, 1 as far as another image's. kept: number of outputs for each\n"
    "input; reached: share of the inputs that the output depends on"
)


def _protocols() -> list[str]:
    lines = ["translation: two shifts of one image, each drawn evenly from 0 … d pixels down and right, are compared"]
    return [*lines, *(f"  {name}: {what}" for name, (_, what) in PROTOCOLS.items())]


def comparison_text(found: Sequence[Invariance]) -> str:
    """The networks in one table: accuracy, shift consistency under each protocol, time."""
    rows: list[tuple[str, ...]] = [("network", "accuracy", *(f"shift, {name}" for name in PROTOCOLS), "ms an image")]
    for each in found:
        shares = (each.accuracy, *(each.shift_consistency(name).consistency for name in PROTOCOLS))
        rows.append((each.model, *(percent(share) for share in shares), f"{each.milliseconds:.2f}"))
    table = f"shift consistency (Zhang 2019), up to {published(found[0].side)} pixels\n{aligned(rows, '<>>>>>')}"
    return "\n\n".join([table, "\n".join(gains(found))]) if found[1:] else table


def gains(found: Sequence[Invariance]) -> list[str]:
    """Gains of each of the other networks over the first one, and their cost: a sentence each."""
    first, *others = found
    sentences = []
    for each in others:
        more = each.shift_consistency().consistency - first.shift_consistency().consistency
        parts = [f"{_points(more)} of shift consistency (crop)"]
        if first.accuracy is not None and each.accuracy is not None:
            parts.append(f"{_points(each.accuracy - first.accuracy)} of accuracy")
        time = each.milliseconds / first.milliseconds
        sentences.append(
            f"{each.model} against {first.model}: {', '.join(parts)}, {time:.2f} times the time per image."
        )
    return sentences


def _points(difference: float) -> str:
    return minus(f"{100 * difference:+.2f} points")


def _layers(layers: tuple[LayerShift, ...]) -> str:
    rows: list[tuple[str, ...]] = [("layer", "type", "size", "stride", "equivariance", "invariance", "kept", "reached")]
    for each in layers:
        size = by((each.channels, *each.size)) if each.size else str(each.channels)
        stride = "–" if each.stride is None else by_stride(each.stride)
        errors = ("–" if value is None else f"{value:.3f}" for value in (each.equivariance, each.invariance))
        rows.append((each.layer, each.type, size, stride, *errors, percent(each.kept, 0), percent(each.reached, 0)))
    return aligned(rows, "<<<>>>>>")


def by_stride(stride: tuple[float, float]) -> str:
    """A stride as text: (2.0, 2.0) as "2", (2.0, 4.0) as "2×4"."""
    down, right = stride
    return f"{down:g}" if down == right else f"{down:g}×{right:g}"
