"""Figures as SVG that takes its colours from the page around it.

Draw within `style()`, on what `blank` gives, with the colours below, and turn the figure into its element with `svg`.
"""

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    """The look of all figures, inside the block."""
    return matplotlib.rc_context(_STYLE)


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of a size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=72)  # an SVG's unit is the point
    return figure, figure.add_subplot()


def key(number: int) -> str:
    """The colour that tells the thing of this number, from 0, from the others."""
    return f"#0{number % KEYS + 1}0501"


def svg(figure: Figure, label: str) -> Markup:
    """The figure as an SVG element that scales with its place on the page; `label` is read to who can't see it."""
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
