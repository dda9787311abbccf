"""HTML page on the invariance of a network, compared with a blurred one or others."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from striate.drawing import Line, category_chart, lines
from striate.files import write_atomic
from striate.inspection.invariances.layers import LayerShift
from striate.inspection.invariances.perturbations import PROTOCOLS, published
from striate.inspection.invariances.result import Curve, Invariance, Point, by_stride, gains
from striate.reports.rendering import file_to_write, render
from striate.units import minus, percent

MOST_LAYERS = 40  # layers in a plot
_QUANTITIES = (("consistency", "-"), ("accuracy", "--"), ("moved", ":"))


def report_invariance(
    found: Sequence[Invariance], out: str | Path, *, source: str = "", notes: Sequence[str] = ()
) -> Path:
    """Write the page of one network, or of several measured on the same images: one file without network requests.

    Args:
        found: of `invariance`; the layers shown are the first one's.
        out: the file.
        source: what the images are.
        notes: what to know about them, in sentences.

    Raises:
        ArgumentError: if `out` is a folder.
        StorageError: if the file can't be written; what was there before stays.
    """
    path = file_to_write(out, "invariance.html")
    page = {
        "source": source,
        "notes": notes,
        "found": found,
        **side_by_side(found),
        **curves(found),
        **layers(found[0]),
    }
    write_atomic(path, render("invariance.html.j2", page))
    return path


def side_by_side(found: Sequence[Invariance]) -> dict[str, Any]:
    """Template values of the table of networks measured on the same images, and of the gains of the others."""
    protocols = {name: description for name, (_, description) in PROTOCOLS.items()}
    return {"networks": found, "protocols": protocols, "greatest": published(found[0].side), "gains": gains(found)}


def curves(found: Sequence[Invariance]) -> dict[str, Any]:
    """Template values of the curves: a plot of each, with a sentence about the first network."""
    several = [curve for curve in found[0].curves if curve.points[1:]]
    translations = [curve for curve in several if curve.name.startswith("translation")]
    return {
        "translations": [_chart(found, curve) for curve in translations],
        "others": [_chart(found, curve) for curve in several if curve not in translations],
        "single": [
            (each, curve.name, curve.points[0]) for each in found for curve in each.curves if not curve.points[1:]
        ],
    }


def layers(found: Invariance) -> dict[str, Any]:
    """Template values of a network layer by layer: a table, two plots and sentences."""
    if not found.layers:
        return {"layers": (), "by_stride": by_stride}
    every = -(-len(found.layers) // MOST_LAYERS)
    drawn = found.layers[every - 1 :: every]  # the last one among them
    names = [each.layer if len(each.layer) <= 24 else f"…{each.layer[-23:]}" for each in drawn]
    errors = [
        Line(word, [(place, getattr(each, word)) for place, each in enumerate(drawn)], key)
        for key, word in enumerate(("equivariance", "invariance"))
    ]
    through = [Line("through", [(place, _through(each)) for place, each in enumerate(drawn)])]
    return {
        "layers": found.layers,
        "by_stride": by_stride,
        "every": every,
        "errors": category_chart(
            names, errors, x="error: 0 is perfect, 1 as far as another image", label="errors layer by layer"
        ),
        "through": category_chart(
            names, through, x="share of the input values, at most", label="values that get through", bars=True
        ),
        "made_at": _made_at(found.layers),
    }


def _through(layer: LayerShift) -> float:
    """Upper bound of the share of values that gets through a layer, from `kept` and `reached`."""
    return min(layer.kept, 1.0 if layer.reached is None else layer.reached)


def _made_at(layers: Sequence[LayerShift]) -> tuple[LayerShift, LayerShift] | None:
    """The two consecutive layers between which the invariance error falls most, if it does."""
    measured = [each for each in layers if each.invariance is not None]
    falls = [
        ((before.invariance or 0) - (after.invariance or 0), before, after) for before, after in pairwise(measured)
    ]
    fall, before, after = max(falls, key=lambda step: step[0], default=(0, None, None))
    return (before, after) if fall > 0 and before and after else None


def _chart(found: Sequence[Invariance], curve: Curve) -> dict[str, Any]:
    """A curve of all networks as a plot with its title and a sentence."""
    drawn = [
        Line(
            word,
            [(at.strength, getattr(at, word)) for at in drawn_points(each, each.curve(curve.name))],
            number,
            dashes,
        )
        for number, each in enumerate(found)
        for word, dashes in _QUANTITIES
        if word != "accuracy" or each.accuracy is not None
    ]
    title = curve.name.replace("translation, ", "")
    figure = lines(
        drawn,
        x=curve.unit,
        y="share",
        label=f"consistency under {curve.name}",
        whole=True,
        legend=False,
        size=(3.6, 2.5),
    )
    return {"title": title, "figure": figure, "reads": _reading(curve.points, found[0].model if found[1:] else None)}


def drawn_points(found: Invariance, curve: Curve) -> list[Point]:
    """A curve's points, and the known point without any change."""
    if curve.unchanged is None:
        return list(curve.points)
    unchanged = Point(curve.unchanged, consistency=1.0, steady=1.0, accuracy=found.accuracy, moved=0.0)
    return sorted([*curve.points, unchanged], key=lambda point: point.strength)


def _reading(points: Sequence[Point], model: str | None) -> str:
    """Describe a curve in a sentence, with the model's name if it is given."""
    steady = [_strength(point) for point in points if point.consistency >= 0.9]
    worst = min(points, key=lambda point: point.consistency)
    share = percent(worst.consistency, 1).replace(" ", "\N{NO-BREAK SPACE}")
    reads = f"at least 90 % keep their class at {', '.join(steady)}"
    if len(steady) == len(points):
        reads = "at least 90 % keep their class at every strength"
    if not steady:
        reads = "fewer than 90 % keep their class at every strength"
    reads = f"{reads}; lowest: {share} at {_strength(worst)}."
    return f"{model}: {reads}" if model else reads[0].upper() + reads[1:]


def _strength(point: Point) -> str:
    return minus(f"{point.strength:g}")
