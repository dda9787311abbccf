"""The page of how invariant a network is, and how much more a blur, or another network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from striate.drawing import file_to_write, render
from striate.files import write_atomic
from striate.inspection.invariance_text import by_stride
from striate.inspection.invariances import Curve, Invariance
from striate.inspection.shifting import PROTOCOLS, published


def report_invariance(
    found: Sequence[Invariance], out: str | Path, *, source: str = "", notes: Sequence[str] = ()
) -> Path:
    """Write the page of one network, or of several measured on the same images. It asks the network for nothing.

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
    first = found[0]
    translations = [curve for curve in first.curves if curve.name.startswith("translation")]
    others = [curve for curve in first.curves if curve not in translations]
    page = {
        "found": found,
        "source": source,
        "notes": notes,
        "greatest": published(first.side),
        "protocols": {name: says for name, (_, says) in PROTOCOLS.items()},
        "translations": [_chart(found, curve) for curve in translations],
        "others": [_chart(found, curve) for curve in others if curve.points[1:]],
        "single": [
            (each, curve.name, point) for each in found for curve in each.curves for point in curve.points[:1]
            if not curve.points[1:]
        ],
        "by_stride": by_stride,
    }  # fmt: skip
    write_atomic(path, render("striate.inspection", "invariance.html.j2", page))
    return path


def _chart(found: Sequence[Invariance], curve: Curve) -> dict[str, Any]:
    """A curve of all networks, consistency and accuracy, as a drawing with its title."""
    from striate.drawing.figures import Line, lines  # Matplotlib takes half a second

    drawn = []
    for number, each in enumerate(found):
        points = each.curve(curve.name).points
        drawn.append(Line("consistency", [(point.strength, point.consistency) for point in points], number))
        if each.accuracy is not None:
            drawn.append(Line("accuracy", [(point.strength, point.accuracy) for point in points], number, True))
    title = curve.name.replace("translation, ", "")
    figure = lines(drawn, x=curve.unit, y="", label=f"consistency under {curve.name}", legend=False, size=(3.6, 2.4))
    return {"title": title, "figure": figure}
