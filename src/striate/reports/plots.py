"""Plots of comparisons and of training runs, as SVG that takes its colours from the page; and label placement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from striate.drawing import BLUE, INK, LINE, ORANGE, blank, key, style, svg

if TYPE_CHECKING:
    from striate.comparison.result import Row
    from striate.evaluation.calibration import Bin
    from striate.reports.ilsvrc import Winner

Box = tuple[float, float, float, float]  # left, bottom, right, top
Point = tuple[float, float]
GAP = 6.0  # between a point and its label, and half of it around a point
_MARKS = "osD^vPX"


def accuracy_by_time(rows: Sequence[Row]) -> Markup | None:
    """Plot accuracy after each epoch against training time, and each model's final accuracy with its 95 % interval.

    Args:
        rows: of a comparison; those without a training time are left out, and without any there is no drawing.
    """
    timed = [(number, row, row.train_seconds) for number, row in enumerate(rows) if row.train_seconds]
    if not timed:
        return None
    longest, shortest = (choose(seconds for _, _, seconds in timed) for choose in (max, min))
    name = "hours" if longest >= 7200 else "minutes" if longest >= 120 else "seconds"
    unit = {"hours": 3600, "minutes": 60, "seconds": 1}[name]
    with style():
        figure, axes = blank(5.6, 3.5)
        axes.set_xlabel(f"training time, {name}")
        lowest, _ = axes.set_ylim(_heights(timed, 0.9))
        if longest > 5 * shortest:
            shown = [time for _, row, _ in timed for time, score in row.curve if score >= lowest]
            _logarithmic(axes, min([*shown, shortest]) / unit, longest / unit)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            axes.set_xlim(0, 1.35 * longest / unit)
        lines = []
        for number, row, _ in timed:
            if row.curve:
                line = np.array(row.curve) / (unit, 1)
                axes.plot(*line.T, color=key(number), linewidth=1.3)
                lines.append(line)
        return _ends(figure, axes, [(n, row, x / unit) for n, row, x in timed], lines, "accuracy by training time")


def accuracy_by_size(rows: Sequence[Row], quantity: str) -> Markup | None:
    """Plot accuracy, with its 95 % interval, against a model's size.

    Args:
        rows: of a comparison; those whose size is not known are left out, and without any there is no drawing.
        quantity: "parameters" or "multiply_adds".
    """
    sized = [(number, row, size) for number, row in enumerate(rows) if (size := getattr(row, quantity))]
    if not sized:
        return None
    with style():
        figure, axes = blank(4.4, 3.0)
        text = quantity.replace("_", "-")
        axes.set_xlabel(text if quantity == "parameters" else f"{text} for one image")
        _logarithmic(axes, min(size for _, _, size in sized), max(size for _, _, size in sized))
        axes.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
        axes.set_ylim(_heights(sized, 0.35))
        return _ends(figure, axes, sized, [], f"accuracy by {text}")


def errors_by_year(winners: Sequence[Winner]) -> Markup:
    """Plot the top-5 errors of contest winners as bars, those of convolutional networks in blue."""
    with style():
        figure, axes = blank(4.4, 2.8)
        for each in winners:
            axes.bar(each.year, each.top5_error, color=BLUE if each.network else LINE, width=0.7)
            axes.annotate(
                f"{100 * each.top5_error:.1f}",
                (each.year, each.top5_error),
                (0, 2),
                textcoords="offset points",
                ha="center",
            )
        axes.set_xticks([each.year for each in winners])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.set_ylabel("top-5 error")
        axes.margins(y=0.1)
        return svg(figure, "top-5 error of the ILSVRC winners by year")


def curves(history: Sequence[dict[str, Any]], quantity: str) -> Markup:
    """Plot a quantity over the epochs, on the training and, if there is one, the validation split.

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


def reliability_diagram(calibrated: Sequence[Bin], before: Sequence[Bin] = ()) -> Markup:
    """Plot accuracy against confidence, bin by bin, with the share of images in each bin as bars.

    Args:
        calibrated: the bins of the probabilities as they are given.
        before: those of the network's own probabilities, if there was a temperature.
    """
    total = sum(each.images for each in calibrated)
    with style():
        figure, axes = blank(4.4, 3.4)
        axes.bar(
            [each.low for each in calibrated],
            [each.images / total for each in calibrated],
            width=[each.high - each.low for each in calibrated],
            align="edge", color=LINE, edgecolor="none", label="share of images",
        )  # fmt: skip
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":", label="exactly right")
        for bins, colour, dashes, name in (
            (before, ORANGE, "--", "before calibration"),
            (calibrated, BLUE, "-", "calibrated" if before else "as the network gives them"),
        ):
            if bins:
                points = [(each.confidence, each.accuracy) for each in bins]
                axes.plot(*zip(*points, strict=True), dashes, color=colour, marker="o", markersize=3, label=name)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.legend(frameon=False, fontsize=9)
        return svg(figure, "accuracy by confidence")


def heat_map(confusion: Sequence[Sequence[int]]) -> Markup:
    """Plot a confusion matrix of many classes: shares of each row as depth of colour, mistakes in orange."""
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


def _heights(points: Sequence[tuple[int, Row, float]], below: float) -> tuple[float, float]:
    """Limits of the y axis: all the marks, and space under them in units of how far they lie apart."""
    heights = [row.accuracy for _, row, _ in points]
    apart = max(max(heights) - min(heights), 0.01)
    return max(-0.02, min(heights) - below * apart), min(max(heights) + 0.3 * apart, 1 + 0.05 * apart)


def _ends(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[int, Row, float]],
    lines: Sequence[NDArray[np.float64]],
    label: str,
) -> Markup:
    """Finish a plot of accuracies: a mark, an interval and a name for each model at its number and x.

    The names keep clear of the lines, float64 (points, 2), that are drawn already.
    """
    for number, row, x in points:
        axes.plot([x, x], row.interval, color=key(number), linewidth=1)
        axes.plot([x], [row.accuracy], color=key(number), marker=_MARKS[number % len(_MARKS)], markersize=5)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.grid(axis="y", color=LINE)
    axes.set_axisbelow(True)
    figure.draw_without_rendering()  # so that the axes know their place
    all_lines = [*lines, *(np.array([(x, row.interval[0]), (x, row.interval[1])]) for _, row, x in points)]
    covered = [tuple(spot) for line in all_lines for spot in _along(axes.transData.transform(line))]
    spots = [tuple(axes.transData.transform((x, row.accuracy))) for _, row, x in points]
    sizes = [(5.6 * len(row.name), 11.0) for _, row, _ in points]
    corners = place(spots, sizes, axes.bbox.extents, covered)
    for (number, row, x), spot, corner in zip(points, spots, corners, strict=True):
        axes.annotate(
            row.name,
            (x, row.accuracy),
            (corner[0] - spot[0], corner[1] - spot[1] + 2),
            textcoords="offset points",
            fontsize=9,
            color=key(number),
            parse_math=False,
        )
    return svg(figure, label)


def _along(line: NDArray[np.float64], step: float = 3.0) -> NDArray[np.float64]:
    """Points on a line, (points, 2), at most `step` apart."""
    lengths = np.hypot(*np.diff(line, axis=0).T)
    parts = [
        np.linspace(start, end, int(length / step) + 2)
        for start, end, length in zip(line[:-1], line[1:], lengths, strict=True)
    ]
    return np.concatenate([line[:1], *parts])


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    """Make the x axis logarithmic, with a few round numbers on it and some space on both sides."""
    decades = np.log10(high / low)
    axes.set_xscale("log")
    axes.set_xlim(low / 10 ** (0.1 + 0.08 * decades), high * 10 ** (0.1 + 0.08 * decades))
    axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2 else (1, 3) if decades > 0.8 else (1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())


def place(points: Sequence[Point], sizes: Sequence[Point], frame: Box, lines: Sequence[Point] = ()) -> list[Point]:
    """Place labels beside their points: the lower left corner of each.

    Each label takes, of twelve places around its point, the one that covers least of the labels placed before it, of
    points and lines, and of what is outside the frame; among equals the one named first: right, left, above, below,
    the four corners, and farther off. This is plain geometry; nothing is drawn.

    Args:
        points: what is labelled.
        sizes: width and height of each label.
        frame: where labels should stay.
        lines: points on lines that labels should not cover, as close together as they are to count.
    """
    taken: list[Box] = [(x - GAP / 2, y - GAP / 2, x + GAP / 2, y + GAP / 2) for x, y in points]
    taken += [(x - 1, y - 1, x + 1, y + 1) for x, y in lines]
    corners = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        boxes = [(left, bottom, left + width, bottom + height) for left, bottom in _places(x, y, width, height)]
        best = min(boxes, key=lambda box: round(_outside(box, frame) * 4 + sum(_shared(box, t) for t in taken), 3))
        taken.append(best)
        corners.append(best[:2])
    return corners


def _places(x: float, y: float, width: float, height: float) -> list[Point]:
    right, left, middle = x + GAP, x - GAP - width, x - width / 2
    low, high = y - height / 2, y + GAP
    under = y - GAP - height
    near = [(right, low), (left, low), (middle, high), (middle, under)]
    corners = [(right, high), (left, high), (right, under), (left, under)]
    farther = [(middle, high + height), (middle, under - height), (right, high + height), (right, under - height)]
    return near + corners + farther


def _shared(first: Box, second: Box) -> float:
    """The area that two boxes share."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, wide) * max(0.0, high)


def _outside(box: Box, frame: Box) -> float:
    """The area of a box that lies outside the frame."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _shared(box, frame)
