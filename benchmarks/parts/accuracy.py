"""Time to a test accuracy: each program as its own documentation teaches it, over several seeds."""

import math
import statistics
from collections.abc import Sequence
from functools import partial

from benchmarks.bench import Bench
from benchmarks.programs import OURS, PROGRAMS, TARGETS, TEXTBOOK, Program
from benchmarks.store import REFERENCE_RATE, Result, Store
from benchmarks.tables import NOTHING, mean, median, number, percent, table, times

SCALE = 220  # GFLOP/s: the reference matmul rate of the machine that times are scaled to
Curve = Sequence[tuple[float, float]]  # seconds and accuracy, in time's order


def measure(bench: Bench) -> None:
    """Run all programs with one seed, then with the next, each run in a process of its own.

    Each seed begins with another program.
    """
    size = bench.size
    programs = [each for each in PROGRAMS if each.quick or not size.quick_programs]
    for seed in range(min(size.seeds, max(each.seeds for each in programs))):
        start = seed % len(programs)
        for program in (*programs[start:], *programs[:start]):
            if seed < program.seeds:
                key = f"accuracy/{program.data}/{program.title}/{seed}"
                bench.measure(key, partial(_run, bench, program, seed))


def _run(bench: Bench, program: Program, seed: int) -> Result:
    request = {**program.arguments, "seed": seed, "images": bench.size.images}
    if program.peer != OURS:
        request |= {"files": bench.files(program.data), "limit": bench.size.limit}
    with bench.worker(program.peer) as worker:
        return worker.ask("program", **request)


def reached(curve: Curve, target: float) -> float:
    """Seconds at which a curve first reaches the target; infinite if it never does."""
    return next((seconds for seconds, accuracy in curve if accuracy >= target), math.inf)


def time_to(curves: Sequence[Curve], target: float) -> float:
    """Seconds to a target accuracy, over seeds; infinite if it is not reached.

    For programs that are evaluated after each epoch, the median over seeds of the time at which each first reached it.
    A program that is evaluated only at its end (all its curves have one point) reaches its mean accuracy, in the median
    of its times.
    """
    if not curves:
        return math.inf
    if all(len(curve) == 1 for curve in curves):
        mean = statistics.mean(curve[0][1] for curve in curves)
        return statistics.median(curve[0][0] for curve in curves) if mean >= target else math.inf
    return statistics.median(reached(curve, target) for curve in curves)


def curves_of(store: Store, program: Program, scaled: bool = False) -> list[Curve]:
    """Curves of a program, one a seed; `scaled`: with the seconds of a machine of `SCALE` GFLOP/s."""
    runs = store.rounds(f"accuracy/{program.data}/{program.title}").values()
    shares = [each[REFERENCE_RATE] / SCALE if scaled else 1.0 for each in runs]
    return [
        [(seconds * share, accuracy) for seconds, accuracy in each["curve"]]
        for each, share in zip(runs, shares, strict=True)
    ]


def tables(store: Store) -> str:
    """For each data set, a table of all programs and one of Striate's fastest against each peer's."""
    texts = []
    for data, targets in TARGETS.items():
        measured = {each: found for each in PROGRAMS if each.data == data and (found := curves_of(store, each))}
        texts += [_programs(store, data, targets, measured), _fastest(store, data, targets, measured)]
    return "\n".join(filter(None, texts))


def _programs(store: Store, data: str, targets: Sequence[float], measured: dict[Program, list[Curve]]) -> str:
    rows = []
    for program, curves in measured.items():
        ends = [curve[-1] for curve in curves]
        rounds = store.rounds(f"accuracy/{data}/{program.title}")
        precisions = sorted({each["precision"] for each in rounds.values() if "precision" in each})
        rows.append(
            [
                ", ".join([program.title, *precisions]),
                str(len(curves)),
                percent(statistics.mean(accuracy for _, accuracy in ends)),
                percent(mean(rounds, "alone")),
                number(statistics.median(seconds for seconds, _ in ends)),
                *(_seconds(time_to(curves, target)) for target in targets),
                number(median(rounds, REFERENCE_RATE)),
            ]
        )
    header = ["program", "seeds", "final accuracy", "without views", "total seconds"]
    header += [f"to {_share(target)}" for target in targets]
    return table(f"Seconds to a test accuracy, {data}", [*header, "reference, GFLOP/s"], rows)


def _fastest(store: Store, data: str, targets: Sequence[float], measured: dict[Program, list[Curve]]) -> str:
    peers = sorted({each.peer.title for each in measured if each.peer != OURS})
    best = best_of_textbook(measured)
    goals = [(_share(target), target) for target in targets]
    goals += [(f"{_share(best)}, the textbook's best", best)] if best is not None else []
    scaled = {each: curves_of(store, each, scaled=True) for each in measured}
    rows: list[list[str]] = []
    for title, target in goals if measured else ():
        times_of = {each: time_to(curves, target) for each, curves in scaled.items()}
        mine = min((each for each in times_of if each.peer == OURS), key=times_of.__getitem__, default=None)
        seconds = math.inf if mine is None else times_of[mine]
        cells = []
        for peer in peers:
            theirs = min(time for each, time in times_of.items() if each.peer.title == peer)
            factor = times(theirs / seconds) if max(theirs, seconds) < math.inf else ""
            cells.append(_seconds(theirs) + factor)
        rows.append([title, mine.title if mine and seconds < math.inf else NOTHING, _seconds(seconds), *cells])
    header = ["accuracy", "Striate's fastest", "seconds", *peers]
    heading = f"Striate's fastest program and each peer's, {data}: seconds scaled to {SCALE} GFLOP/s"
    return table(heading, header, rows)


def best_of_textbook(measured: dict[Program, list[Curve]]) -> float | None:
    """Best accuracy of the textbook's program during its training, the median over seeds."""
    curves = measured.get(TEXTBOOK)
    return statistics.median(max(accuracy for _, accuracy in curve) for curve in curves) if curves else None


def _share(target: float) -> str:
    return f"{100 * target:.4g} %"


def _seconds(value: float) -> str:
    return number(None if value == math.inf else value)
