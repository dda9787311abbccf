"""Plots of test accuracy against training time: medians over seeds, a logarithmic time axis."""

import io
import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from benchmarks.parts.accuracy import Curve, curves_of
from benchmarks.programs import OURS, PROGRAMS, TARGETS
from benchmarks.store import Store
from striate.files import write_atomic

MARKS = "os^Dv<>p*h"
OUR_COLOUR, COLOURS = "tab:red", ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:gray")
ACCURACY_LIMITS = {"fashion-mnist": (0.85, 0.96), "mnist": (0.97, 0.9985)}


def median_curve(curves: Sequence[Curve]) -> Curve:
    """Median curve over seeds: for each epoch, the medians of seconds and of accuracies."""
    longest = max(map(len, curves))
    epochs = [[curve[place] for curve in curves if place < len(curve)] for place in range(longest)]
    return [tuple(map(statistics.median, zip(*points, strict=True))) for points in epochs]


def draw(store: Store, data: str, path: Path) -> bool:
    """Draw the results on a data set as SVG; return False if there are none."""
    lines = [
        (each, median_curve(curves)) for each in PROGRAMS if each.data == data and (curves := curves_of(store, each))
    ]
    if not lines:
        return False
    with matplotlib.rc_context({"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "striate"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        for place, (program, curve) in enumerate(lines):
            ours = program.peer == OURS
            axes.plot(
                *zip(*curve, strict=True),
                marker=MARKS[place % len(MARKS)],
                markersize=8 if ours else 4,
                color=OUR_COLOUR if ours else COLOURS[place % len(COLOURS)],
                linestyle="none" if ours else "-",
                label=program.title,
            )
        for target in TARGETS[data]:
            axes.axhline(target, color="0.85", linewidth=0.8, zorder=0)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        axes.set_ylim(ACCURACY_LIMITS[data])
        axes.set_xlabel("seconds of training, compilation included")
        axes.set_ylabel(f"test accuracy, {data}")
        axes.set_title(machine_line(store), fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        file = io.BytesIO()
        figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None})
    write_atomic(path, file.getvalue())
    return True


def machine_line(store: Store) -> str:
    """Processor, cores, memory and vector instructions in a line."""
    machine = store.header["machine"]
    flags = ", ".join(machine["flags"])
    memory = f"{machine['memory_gib']:g} GiB"
    return f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, {memory}; {flags}"
