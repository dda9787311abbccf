"""Training beside other work: `striate train` on digits beside busy loops, at low priority, and with half of the cores.

    python -m benchmarks.neighbours [--repeats 3] [--loops 0,1,2,4] [--threads N] [--epochs N]

Prints a Markdown table. A busy loop is a Python process that computes without end. Beside N of them T threads on C
cores get C / (T + N) of a core each, where there are too few for all: their fair share. Each repeat takes all cases in
turn.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.machine import ReferenceRate
from benchmarks.tables import number, table
from striate.files import read_json
from striate.hardware import cores

LOOP = (sys.executable, "-c", "while True: pass")
GROUP = Path("/sys/fs/cgroup/cpu/striate-neighbours")  # of version 1; with version 2 it is made by the user's own tools


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Context beside which so many busy loops run."""
    processes = [subprocess.Popen(LOOP) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def quota(share: float) -> Iterator[Path | None]:
    """A control group that may use so many cores; `None` where this process may not make one."""
    try:
        GROUP.mkdir()
        (GROUP / "cpu.cfs_quota_us").write_text(str(round(share * 100_000)))
    except OSError:
        yield None
        return
    try:
        yield GROUP
    finally:
        GROUP.rmdir()


def trained(arguments: list[str], group: Path | None = None, nice: int = 0) -> tuple[float, int]:
    """Seconds of `striate train` on digits, from the start of its process to its end, and its number of threads."""

    def place() -> None:
        os.nice(nice)
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "striate", "train", "--out", f"{folder}/run", *arguments]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, preexec_fn=place)
        seconds = time.perf_counter() - began
        return seconds, read_json(Path(folder) / "run" / "run.json")["environment"]["threads"]


def fair(threads: int, loops: int, available: int) -> float:
    """How many times as long training takes beside busy loops if all get equal shares of the cores."""
    return max(1.0, (threads + loops) / available)


def note(name: str, measured: tuple[float, int]) -> tuple[float, int]:
    """Tell of a measurement at once, as the table comes last; return it."""
    print(f"{name}: {measured[0]:.2f} s", file=sys.stderr, flush=True)
    return measured


def main() -> None:
    """Measure, and print the table."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.neighbours", description=(__doc__ or "").split("\n")[0]
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--loops", default="0,1,2,4", help="numbers of busy loops")
    options.add_argument("--threads", type=int, help="those that striate train chooses if not given")
    options.add_argument("--epochs", type=int, help="the recipe's if not given")
    chosen = options.parse_args()
    arguments = []
    for name, value in (("--threads", chosen.threads), ("--epochs", chosen.epochs)):
        arguments += [] if value is None else [name, str(value)]
    rate = ReferenceRate(2048, 5)
    cases = {f"{loops} busy loops": int(loops) for loops in chosen.loops.split(",")}
    polite, halved = "1 busy loop, at nice 10", "a control group with half of the cores"
    found: dict[str, list[tuple[float, int]]] = {}
    rates = []
    for _ in range(chosen.repeats):
        rates.append(rate())
        for name, loops in cases.items():
            with busy(loops):
                found.setdefault(name, []).append(note(name, trained(arguments)))
        with busy(1):
            found.setdefault(polite, []).append(note(polite, trained(arguments, nice=10)))
        with ExitStack() as stack:
            group = stack.enter_context(quota(cores() / 2))
            if group is not None:
                found.setdefault(halved, []).append(note(halved, trained(arguments, group)))
    seconds = {name: statistics.median(each for each, _ in times) for name, times in found.items()}
    (_, threads), *_ = found[next(iter(cases))]
    alone = seconds[next(iter(cases))]
    rows = []
    for name, each in seconds.items():
        times = each / alone
        share = fair(threads, cases[name], cores()) if name in cases else None
        rows.append([name, number(each), f"{times:.2f}",
                     *(["", ""] if share is None else [f"{share:.2f}", f"{times / share:.2f}"])])  # fmt: skip
    header = ["beside", "seconds", "× alone", "fair share", "× fair share"]
    print(table(f"`striate train` on digits, {threads} threads on {cores()} cores", header, rows))
    print(f"Medians of {chosen.repeats}; reference matmul rate {number(statistics.median(rates))} GFLOP/s.")


if __name__ == "__main__":
    main()
