"""The report's drawings, as SVG that takes its colours from the page around it. The one module that draws."""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

# Matplotlib wants colours that it knows; in the SVG they become what follows light and dark mode.
_INK, _LINE, _BLUE, _ORANGE = "#010101", "#020202", "#030303", "#040404"
_CSS = {_INK: "currentColor", _LINE: "var(--line)", _BLUE: "var(--blue)", _ORANGE: "var(--orange)"}
_STYLE: Any = {
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "striate",
}


def curves(history: Sequence[dict[str, Any]], quantity: str) -> Markup:
    """What became of a quantity over the epochs, on the training and, if there is one, the validation split.

    Args:
        history: one dictionary an epoch, as in metrics.jsonl; at least one.
        quantity: "loss" or "accuracy".
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _blank(4.4, 2.8)
        epochs = [metrics["epoch"] for metrics in history]
        marker = "o" if len(epochs) <= 30 else None
        for split, colour in (("train", _BLUE), ("val", _ORANGE)):
            values = [metrics.get(f"{split}_{quantity}") for metrics in history]
            if any(value is not None for value in values):
                line = np.array([np.nan if value is None else value for value in values])
                axes.plot(epochs, line, color=colour, marker=marker, markersize=3, label=split)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.grid(axis="y", color=_LINE)
        axes.set_axisbelow(True)
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        else:
            axes.update_datalim([(1, 0)])
            axes.autoscale_view()
            axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        return _svg(figure, f"{quantity} by epoch")


def heat_map(confusion: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix of many classes: the share of each row's images as depth of colour, mistakes in orange."""
    counts = np.asarray(confusion, dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    hit = np.eye(len(counts), dtype=bool)
    pixels = np.empty((*share.shape, 4))
    pixels[..., :3] = np.where(hit[..., None], (0.23, 0.51, 0.96), (0.92, 0.35, 0.05))
    pixels[..., 3] = np.sqrt(share)  # so that one mistake in fifty can still be seen
    with matplotlib.rc_context(_STYLE):
        figure, axes = _blank(6, 6)
        axes.imshow(pixels, interpolation="nearest")
        axes.set_xlabel("predicted class, by number")
        axes.set_ylabel("true class, by number")
        return _svg(figure, "confusion matrix")


def _blank(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, label: str) -> Markup:
    """The figure as an SVG element that scales with its place on the page."""
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
