"""Striate and its peers, side by side.

    python -m benchmarks [--size full|quick|smoke] [--only PART,…] [--match PATTERN] [--peers FOLDER]
                         [--out FILE] [--threads N] [--show]

Measures what the file does not hold yet, then prints the tables, which lie beside the file too, as .md, with the plots
of time to accuracy as .svg. Stop it with Ctrl-C; the same command goes on. README.md says what is timed, and how.
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
from benchmarks.sizes import SIZES
from benchmarks.store import Store
from striate.errors import ArgumentError, StriateError, unknown
from striate.files import write_atomic


def main(arguments: list[str] | None = None) -> int:
    """Run the command; tells its exit code."""
    try:
        run(_options().parse_args(arguments))
    except StriateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--size", choices=SIZES, default="full", help="how much is measured")
    options.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    options.add_argument(
        "--match", default="", help="a regular expression: only measurements in whose keys it is found"
    )
    options.add_argument("--peers", type=Path, default=Path(".venv-peers"), help="the folder of their environments")
    options.add_argument("--out", type=Path, help="the results; runs/bench/SIZE.json if not given")
    options.add_argument("--threads", type=int, help="fewer than this process may use")
    options.add_argument("--show", action="store_true", help="measure nothing, tell what the file holds")
    return options


def run(chosen: argparse.Namespace) -> None:
    """Measure, then tell.

    Raises:
        StriateError: for a part that there is not, a file of another machine, or an environment that is missing.
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
    told = report(store, parts)
    write_atomic(chosen.out.with_suffix(".md"), told.encode())
    print(told)
    for data in TARGETS:
        path = chosen.out.with_name(f"{chosen.out.stem}-{data}.svg")
        if plot.draw(store, data, path):
            print(f"Drawn: {path}")


def measured(chosen: argparse.Namespace, parts: list[str]) -> Store:
    """The store, once it holds all of the parts."""
    match, threads = _pattern(chosen.match), machine.use_threads(chosen.threads)
    header: dict[str, Any] = {
        "size": chosen.size,
        "machine": machine.machine(threads),
        "versions": machine.versions(PEERS, chosen.peers),
    }
    size, store = SIZES[chosen.size], Store(chosen.out, header)
    yardstick = machine.Yardstick(size.side, size.products)
    say = partial(print, file=sys.stderr, flush=True)
    bench = Bench(size, store, chosen.peers, threads, yardstick, say, match)
    for name in parts:
        PARTS[name].measure(bench)
    return store


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ArgumentError(f"--match {text}: not a regular expression ({error}).") from None


def report(store: Store, parts: list[str]) -> str:
    """The machine, versions and commits, the tables of the parts, and what failed, in Markdown."""
    installed = {peer.title: store.header["versions"][peer.name] for peer in PEERS}
    versions = [f"- {title}: " + ", ".join(map(" ".join, found.items())) for title, found in installed.items()]
    versions += [f"- measured at commit {' and '.join(store.commits)}"] if store.commits else []
    told = ["# Striate and its peers", plot.named(store), "\n".join(versions)]
    told += filter(None, (PARTS[name].tables(store) for name in parts))
    failures = [f"- {key}: {error}" for key, error in store.failures().items()]
    told += ["\n".join(["## Failed", "", *failures])] if failures else []
    return "\n\n".join(each.rstrip("\n") for each in told) + "\n"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the peers' processes too
    sys.exit(main())
