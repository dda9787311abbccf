"""Benchmarks of Striate against Keras, PyTorch, Flax and scikit-learn.

    python -m benchmarks [--size full|quick|smoke] [--only PART,…] [--match PATTERN] [--peers FOLDER]
                         [--out FILE] [--threads N] [--show]

Measures what the file does not hold yet, then prints the tables, and writes them next to the file as .md, with plots of
time to accuracy as .svg. Stopped by Ctrl-C, the same command continues. README.md says what is timed, and how;
`python -m benchmarks.publish` writes the pages under docs/benchmarks/.
"""

import argparse
import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine, plot
from benchmarks.bench import Bench
from benchmarks.parts import PARTS
from benchmarks.programs import PEERS, TARGETS
from benchmarks.report import report
from benchmarks.sizes import SIZES
from benchmarks.store import Store
from striate.errors import ArgumentError, StriateError, unknown
from striate.files import write_atomic


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        run(_options().parse_args(arguments))
    except StriateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks: stopped; the same command continues from here.", file=sys.stderr)
        return 130
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--size", choices=SIZES, default="full", help="how much to measure")
    options.add_argument("--only", default=",".join(PARTS), help=f"parts, out of {', '.join(PARTS)}")
    options.add_argument(
        "--match", default="", help="a regular expression: only measurements whose keys contain a match"
    )
    options.add_argument(
        "--peers", type=Path, default=Path(".venv-peers"), help="the folder of the peers' environments"
    )
    options.add_argument("--out", type=Path, help="the results file; runs/bench/SIZE.json if not given")
    options.add_argument("--threads", type=int, help="at most as many as this process may use, the default")
    options.add_argument("--show", action="store_true", help="measure nothing, print the tables of the file")
    return options


def run(chosen: argparse.Namespace) -> None:
    """Measure, then print and write the tables and plots.

    Raises:
        StriateError: for an unknown part, a file of another machine, or a missing environment.
    """
    chosen.out = chosen.out or Path("runs/bench") / f"{chosen.size}.json"
    parts = chosen.only.split(",")
    for name in parts:
        if name not in PARTS:
            raise unknown("part", name, PARTS)
    if chosen.show:
        store = Store.opened(chosen.out)
    else:
        if chosen.threads is not None and chosen.threads < 1:
            raise ArgumentError(f"--threads {chosen.threads}: at least 1 is needed.")
        store = measured(chosen, parts)
    text = report(store, parts)
    write_atomic(chosen.out.with_suffix(".md"), text.encode())
    print(text)
    for data in TARGETS:
        path = chosen.out.with_name(f"{chosen.out.stem}-{data}.svg")
        if plot.draw(store, data, path):
            print(f"Drawn: {path}")


def measured(chosen: argparse.Namespace, parts: list[str]) -> Store:
    """Measure what the file lacks of the parts, and return its store."""
    match, threads = _pattern(chosen.match), machine.use_threads(chosen.threads)
    peers = {peer for name in parts for peer in PARTS[name].peers}
    header: dict[str, Any] = {
        "size": chosen.size,
        "machine": machine.machine(threads),
        "versions": machine.versions([peer for peer in PEERS if peer in peers], chosen.peers),
    }
    size, store = SIZES[chosen.size], Store(chosen.out, header)
    reference_rate = machine.ReferenceRate(size.side, size.products)
    log = partial(print, file=sys.stderr, flush=True)
    bench = Bench(size, store, chosen.peers, threads, reference_rate, log, match)
    for name in parts:
        PARTS[name].measure(bench)
    return store


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ArgumentError(f"--match {text}: not a regular expression ({error}).") from None


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the peers' processes too
    sys.exit(main())
