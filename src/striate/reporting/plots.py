"""The report's drawings, as SVG that takes its colours from the page around it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator, PercentFormatter

from striate.drawing.figures import BLUE, LINE, ORANGE, blank, style, svg


def curves(history: Sequence[dict[str, Any]], quantity: str) -> Markup:
    """What became of a quantity over the epochs, on the training and, if there is one, the validation split.

    Args:
        history: one dictionary an epoch, as in metrics.jsonl; at least one.
        quantity: "loss" or "accuracy".
    """
    with style():
        figure, axes = blank(4.4, 2.8)
        epochs = [metrics["epoch"] for metrics in history]
        marker = "o" if len(epochs) <= 30 else None
        for split, colour in (("train", BLUE), ("val", ORANGE)):
            values = [metrics.get(f"{split}_{quantity}") for metrics in history]
            if any(value is not None for value in values):
                line = np.array([np.nan if value is None else value for value in values])
                axes.plot(epochs, line, color=colour, marker=marker, markersize=3, label=split)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)  # else the ticks have three decimals
        axes.grid(axis="y", color=LINE)
        axes.set_axisbelow(True)
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        else:
            axes.update_datalim([(1, 0)])
            axes.autoscale_view()
            axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        return svg(figure, f"{quantity} by epoch")


def heat_map(confusion: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix of many classes: the share of each row's images as depth of colour, mistakes in orange."""
    counts = np.asarray(confusion, dtype=np.float64)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    hit = np.eye(len(counts), dtype=bool)
    pixels = np.empty((*share.shape, 4))
    pixels[..., :3] = np.where(hit[..., None], (0.23, 0.51, 0.96), (0.92, 0.35, 0.05))
    pixels[..., 3] = np.sqrt(share)  # so that one mistake in fifty can still be seen
    with style():
        figure, axes = blank(6, 6)
        axes.imshow(pixels, interpolation="nearest")
        axes.set_xlabel("predicted class, by number")
        axes.set_ylabel("true class, by number")
        return svg(figure, "confusion matrix")
