"""Figures and pictures for pages: plots as SVG that takes its colours from the page around it, images as PNG.

Draw a plot inside `style()`, on the axes of `blank`, with the colours below, and convert the figure with `svg`.
Matplotlib, which takes half a second to import, is imported by what draws.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

# Matplotlib wants colours that it knows; in the SVG they become what follows light and dark mode.
INK, LINE, BLUE, ORANGE = "#010101", "#020202", "#030303", "#040404"
KEYS = 8  # colours that tell models apart; what comes after has them again, with other marks
_CSS = {INK: "currentColor", LINE: "var(--line)", BLUE: "var(--blue)", ORANGE: "var(--orange)"}
_CSS |= {f"#0{key}0501": f"var(--key{key})" for key in range(1, KEYS + 1)}
_STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "striate",
}


def style() -> AbstractContextManager[None]:
    """Context with the style of all figures."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=72)  # an SVG's unit is the point
    return figure, figure.add_subplot()


class Line(NamedTuple):
    """A line of `lines`: points (x, y), broken where y is `None`; a key's number as its colour; "-", "--" or ":"."""

    name: str
    points: Sequence[tuple[float, float | None]]
    key: int = 0
    dashes: str = "-"


def lines(
    drawn: Sequence[Line],
    *,
    x: str,
    y: str,
    label: str,
    shares: bool = True,
    whole: bool = False,
    legend: bool = True,
    size: tuple[float, float] = (4.4, 2.8),
) -> Markup:
    """Plot lines with a mark at each point.

    Args:
        drawn: the lines.
        x, y: labels of the axes.
        label: what the figure shows.
        shares: whether y is a share, which is written in per cent.
        whole: whether y goes from 0 to 1 whatever the values, so that figures side by side can be compared.
        legend: whether the lines are named in the figure.
        size: width and height in inches.
    """
    with style():
        figure, axes = blank(*size)
        for name, points, number, dashes in drawn:
            places = [place for place, _ in points]
            axes.plot(places, _numbers(points), dashes, color=key(number), marker="o", markersize=3, label=name)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(axis="y", color=LINE)
        axes.set_axisbelow(True)
        if shares:
            axes.yaxis.set_major_formatter(_percents())
        if whole:
            axes.set_ylim(-0.04, 1.04)
        if legend:
            axes.legend(frameon=False, fontsize=9)
        return svg(figure, label)


def category_chart(names: Sequence[str], drawn: Sequence[Line], *, x: str, label: str, bars: bool = False) -> Markup:
    """Plot values of named items as horizontal bars or lines, the items one below the other.

    Args:
        names: of the things.
        drawn: the lines; a point's first number is the position of its thing, its second the value, at least 0.
        x: label of the value axis.
        label: what the figure shows.
        bars: whether bars are drawn, of shares, which are written in per cent.
    """
    with style():
        figure, axes = blank(4.4, 0.8 + 0.19 * len(names))
        for name, points, number, dashes in drawn:
            places, values = [place for place, _ in points], _numbers(points)
            if bars:
                axes.barh(places, values, color=key(number), height=0.7)
            else:
                axes.plot(values, places, dashes, color=key(number), marker="o", markersize=3, label=name)
        axes.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel(x)
        axes.grid(axis="x", color=LINE)
        axes.set_axisbelow(True)
        if bars:
            axes.xaxis.set_major_formatter(_percents())
        else:
            axes.legend(frameon=False, fontsize=9)
        return svg(figure, label)


def key(number: int) -> str:
    """The colour of the item with this number, from 0."""
    return f"#0{number % KEYS + 1}0501"


def _percents() -> PercentFormatter:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1.0, symbol=" %")


def _numbers(points: Sequence[tuple[float, float | None]]) -> list[float]:
    return [float("nan") if value is None else value for _, value in points]


def svg(figure: Figure, label: str) -> Markup:
    """Convert the figure to an SVG element that scales with its place on the page; `label` is for screen readers."""
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r' id="[\w.]+_\d+"', "", body)  # the same in every figure, and an id must be unique on a page
    for colour, css in _CSS.items():
        body = body.replace(colour, css)
    box = re.search(r'viewBox="[^"]*"', text)
    return Markup(f'<svg {box[0] if box else ""} role="img" aria-label="{label}">{body}')


def svg_uri(text: str) -> str:
    """An SVG document in a data: address, so that its style is its own."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def data_uri(pixels: Tensor | np.ndarray) -> str:
    """An image, uint8 (h, w, 1, 3 or 4), the fourth its opacity, as a PNG in a data: address."""
    pixels = np.ascontiguousarray(pixels)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
