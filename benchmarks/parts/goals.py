"""Time from Enter to a test accuracy: whole commands of `striate train`, over several seeds."""

import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.parts.accuracy import SCALE
from benchmarks.parts.commands import run
from benchmarks.store import REFERENCE_RATE, Result, Store
from benchmarks.tables import number, percent, table


class Goal(NamedTuple):
    """A test accuracy, the command that reaches it in the mean of so many seeds, and the seconds it may take."""

    data: str
    accuracy: float
    command: str
    seeds: int
    seconds: float

    @property
    def key(self) -> str:
        """Of its results, but for the seed."""
        return f"goals/{self.data}/{self.command}"


FASHION = "fashion-mnist"
STRONG = "--augment flip,shift=0.08,erase=0.3"
GOALS = (
    Goal(FASHION, 0.92, "train quicknet_s --recipe fast --set steps=650", 10, 25),
    Goal(FASHION, 0.93, "train quicknet_s --recipe fast --set steps=1500", 5, 60),
    Goal("mnist", 0.99, "train quicknet_s --recipe fast --set steps=100", 5, 10),
    Goal("mnist", 0.995, "train quicknet_s --recipe fast --set steps=700", 5, 25),
    Goal(FASHION, 0.94, "train quicknet_m --recipe fast --set steps=2700", 3, 140),
    Goal(FASHION, 0.95, f"train quicknet_l --recipe fast --epochs 42 {STRONG}", 1, 1500),
)


def measure(bench: Bench) -> None:
    """Run every command with one seed, then with the next."""
    for seed in range(bench.size.seeds):
        for goal in GOALS:
            if goal.seconds <= bench.size.patience and seed < goal.seeds:
                bench.measure(f"{goal.key}/{seed}", partial(_trained, bench, goal, seed))


def _trained(bench: Bench, goal: Goal, seed: int) -> Result:
    """Seconds of a command from the start of its process to its end, and the accuracy it told."""
    data = goal.data if bench.size.command_data == FASHION else bench.size.command_data
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        arguments = f"{goal.command} --data {data} --seed {seed} --out run".split()
        began = time.perf_counter()
        error = run(bench, folder, ("-m", "striate", *arguments))
        seconds = time.perf_counter() - began
        if error:
            return {"error": error}
        result = json.loads((folder / "run" / "result.json").read_text())
    return {"seconds": seconds, "trained": result["train_seconds"], "accuracy": result["accuracy"]}


def tables(store: Store) -> str:
    """Table of the commands: their mean accuracy, and the seconds a person waits for them."""
    rows = []
    for goal in GOALS:
        if not (rounds := list(store.rounds(goal.key).values())):
            continue
        accuracies, seconds = [each["accuracy"] for each in rounds], [each["seconds"] for each in rounds]
        scaled = [each["seconds"] * each[REFERENCE_RATE] / SCALE for each in rounds]
        spread = f" ± {100 * statistics.stdev(accuracies):.2f}" if len(rounds) > 1 else ""
        reached = statistics.mean(accuracies) >= goal.accuracy and statistics.mean(scaled) <= goal.seconds
        rows.append(
            [
                f"{goal.data}, {100 * goal.accuracy:g} %",
                goal.command,
                str(len(rounds)),
                percent(statistics.mean(accuracies)) + spread,
                number(statistics.mean(seconds)),
                number(statistics.mean(each["trained"] for each in rounds)),
                number(statistics.mean(scaled)),
                number(goal.seconds),
                "yes" if reached else "no",
            ]
        )
    header = ["goal", "striate …", "seeds", "test accuracy", "seconds from Enter", "of them training"]
    header += [f"scaled to {SCALE} GFLOP/s", "at most", "met"]
    return table("Time from Enter to a test accuracy", header, rows)
