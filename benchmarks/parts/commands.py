"""Whole commands from Enter to their end, as a person waits for them, and where the time goes."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.bench import Bench
from benchmarks.programs import OURS
from benchmarks.store import REFERENCE_RATE, Result, Store
from benchmarks.tables import median, number, table
from benchmarks.worker import ROOT, THREADS, environment_of
from striate.hardware import cores

RUN, IMAGE, FILE = "run", "one.png", "network.onnx"
TRAIN = "train quicknet_s --recipe fast --epochs 1"
COMMANDS = {
    "import torch": "",
    TRAIN: f"{TRAIN} --data {{data}} --out {{new}}",
    "train": "train --out {new}",
    "evaluate RUN": f"evaluate {RUN}",
    "predict RUN one.png": f"predict {RUN} {IMAGE}",
    "predict FILE.onnx one.png": f"predict {FILE} {IMAGE}",
}
BROKEN_DOWN = (TRAIN, "evaluate RUN", "predict RUN one.png")
PARTS = (
    *("Python", "the command line", "import torch", "other imports", "loading", "preparation", "first step"),
    *("other steps", "evaluation", "computing", "report", "end of the process"),
)


def measure(bench: Bench) -> None:
    """Time every command in every round, then its parts by a clock inside of it."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for repeat in range(bench.size.startups):
            for title, command in COMMANDS.items():
                bench.measure(f"commands/{title}/{repeat}", partial(_whole, bench, folder, command))
        for repeat in range(bench.size.rounds):
            for title in BROKEN_DOWN:
                key = f"command-parts/{title}/{repeat}"
                bench.measure(key, partial(_in_parts, bench, folder, COMMANDS[title]))


def _whole(bench: Bench, folder: Path, command: str) -> Result:
    """Seconds from the start of a process to its end."""
    program = ("-m", "striate", *_arguments(bench, folder, command)) if command else ("-c", "import torch")
    began = time.perf_counter()
    error = run(bench, folder, program)
    return {"error": error} if error else {"seconds": time.perf_counter() - began}


def _in_parts(bench: Bench, folder: Path, command: str) -> Result:
    """Seconds of each part of a command."""
    arguments = _arguments(bench, folder, command)
    began = time.time()
    error = run(bench, folder, ("-m", "benchmarks.workers.command", "marks.json", *arguments))
    ended = time.time()
    if error:
        return {"error": error}
    marks = json.loads((folder / "marks.json").read_text()) | {"end of the process": ended}
    moments = sorted([("", began), *marks.items()], key=lambda pair: pair[1])
    return {"parts": {name: end - start for (_, start), (name, end) in pairwise(moments)}}


def _arguments(bench: Bench, folder: Path, command: str) -> list[str]:
    """The arguments of a command, for which a run, an image and an exported file are made where they are needed."""
    data = bench.size.command_data
    words = command.format(data=data, new=tempfile.mkdtemp(dir=folder) + "/run").split()
    if words[0] != "train" and not (folder / FILE).exists():
        pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / IMAGE)
        for needed in (f"{TRAIN} --data {data} --out {RUN}", f"export {RUN} --to onnx --out {FILE}"):
            run(bench, folder, ("-m", "striate", *needed.split()))
    return words


def run(bench: Bench, folder: Path, program: Sequence[str]) -> str:
    """Run Python in the folder with as many threads as the bench; return its error, empty if it succeeds."""
    environment = environment_of(OURS, bench.threads)
    if bench.threads == cores():  # as at the keyboard, where nobody names a number
        environment = {name: value for name, value in environment.items() if name not in THREADS}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'src'}"
    done = subprocess.run(
        [sys.executable, *program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return (done.stderr.strip().rpartition("\n")[2] or "failed") if done.returncode else ""


def tables(store: Store) -> str:
    """Table of whole commands, and table of their parts."""
    found = {title: store.rounds(f"commands/{title}") for title in COMMANDS}
    torch = median(found["import torch"], "seconds")
    rows = []
    for title, rounds in found.items():
        seconds = median(rounds, "seconds")
        if seconds is not None:
            name = title if title == "import torch" else f"striate {title}"
            share = f"{seconds / torch:.2f}" if torch else ""
            rows.append([name, number(seconds), share, number(median(rounds, REFERENCE_RATE)), str(len(rounds))])
    header = ["command", "seconds", "× import torch", "reference, GFLOP/s", "rounds"]
    whole = table("Whole commands, from Enter to their end", header, rows)
    return "\n".join(filter(None, [whole, _parts(store)]))


def _parts(store: Store) -> str:
    columns = {}
    for title in BROKEN_DOWN:
        kept = store.rounds(f"command-parts/{title}")
        if kept:
            each = {part: {key: {"s": one["parts"].get(part, 0.0)} for key, one in kept.items()} for part in PARTS}
            columns[title] = {part: median(values, "s") or 0.0 for part, values in each.items()}
    rows = [
        [part, *(number(column[part]) if column[part] else "" for column in columns.values())]
        for part in PARTS
        if any(column[part] for column in columns.values())
    ]
    return table("Seconds of the parts of a command", ["part", *columns], rows)
