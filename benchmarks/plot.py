"""Time to accuracy as a picture: the median over seeds, seconds on a logarithmic axis."""

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
SHOWN = {"fashion-mnist": (0.85, 0.96), "mnist": (0.97, 0.9985)}  # the accuracies at the axis's ends


def middle(curves: Sequence[Curve]) -> Curve:
    """For each epoch that some seed has had, the medians of its seconds and of its accuracies."""
    longest = max(map(len, curves))
    epochs = [[curve[place] for curve in curves if place < len(curve)] for place in range(longest)]
    return [tuple(map(statistics.median, zip(*points, strict=True))) for points in epochs]


def draw(store: Store, data: str, path: Path) -> bool:
    """Draw what was measured on a data set, as SVG; tells whether there was anything."""
    lines = [(each, middle(curves)) for each in PROGRAMS if each.data == data and (curves := curves_of(store, each))]
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
        axes.set_ylim(SHOWN[data])
        axes.set_xlabel("seconds of training, compilation included")
        axes.set_ylabel(f"test accuracy, {data}")
        axes.set_title(named(store), fontsize=9)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
        file = io.BytesIO()
        figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None})
    write_atomic(path, file.getvalue())
    return True


def named(store: Store) -> str:
    """The machine in a line."""
    machine = store.header["machine"]
    flags = ", ".join(machine["flags"])
    memory = f"{machine['memory_gib']:g} GiB"
    return f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, {memory}; {flags}"
