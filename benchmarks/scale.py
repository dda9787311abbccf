"""Scale: what several processes promise, tried with real ones: equal bytes, kills, counts, speed, mistakes.

    python -m benchmarks.scale [--only bytes,resume,kills,counts,speed,mistakes] [--steps 50] [--kills 20] [--rounds 3]
        [--models lenet5,quicknet_s,resnet18:stem=small,efficientnet_lite0] [--batch-size 64] [--out scale.json]

The contract: every training is `striate train` as a user would call it, on this machine, over the loopback interface,
with one thread a process but where threads are what is compared; kills are SIGKILL, at moments of the seed. What has
been measured is kept in the file of --out, and not measured again. docs/scale.md tells what came of it.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.tables import table
from benchmarks.undisturbed import undisturbed
from striate.files import sha256
from striate.hardware import cores

WEIGHTS = "model.safetensors"
PHOTOGRAPHS = str(Path(os.environ.get("STRIATE_DATA", "."), "ants-bees"))
# The rest of the command; small batches, so that kills fall into an epoch.
MODELS: dict[str, list[str]] = {
    "lenet5": ["lenet5", "--batch-size", "60"],
    "quicknet_s": ["quicknet_s", "--batch-size", "60"],
    "resnet18:stem=small": ["resnet18:stem=small", "--batch-size", "60"],
    "efficientnet_lite0": ["efficientnet_lite0", "--data", PHOTOGRAPHS, "--recipe", "transfer", "--batch-size", "16"],
}
NUMBERS = (1, 2, 4)
IMAGES = (10_000, 9_999)
SPEED_STEPS = 24  # so that the first one, in which connections and buckets are made, counts little


class Measured:
    """Results by name, in a file; what is there is not measured again."""

    def __init__(self, path: Path):
        self.path = path
        self.values: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The result of this name."""
        if name not in self.values:
            self.values[name] = measure()
            self.path.write_text(json.dumps(self.values, indent=2) + "\n")
            print(f"{name}: {self.values[name]}", flush=True)
        return self.values[name]


def command(*arguments: object) -> list[str]:
    """The command line of this Python's Striate."""
    return [sys.executable, "-m", "striate", *map(str, arguments)]


def environment(threads: int = 1) -> dict[str, str]:
    """Variables of a training with so many threads a process."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def train(out: Path, model: str, *more: object, threads: int = 1) -> dict[str, Any]:
    """Train to the end; the content of result.json."""
    done = subprocess.run(
        command("train", *_named(model), "--out", out, *more), env=environment(threads), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{model} {more}: {done.stderr}")
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    return result


def _named(model: str) -> list[str]:
    """A model's arguments; a data set in $STRIATE_DATA by its path."""
    place = Path(os.environ.get("STRIATE_DATA", "."))
    return [str(place / each) if (place / each).is_dir() else each for each in MODELS[model]]


def equal_bytes(place: Path, model: str, steps: int) -> str:
    """Train on each number of processes; how many different weights that gives."""
    found = set()
    for number in NUMBERS:
        train(place / f"{number}", model, "--set", f"steps={steps}", "--shards", 4, "--processes", number)
        found.add(sha256((place / f"{number}" / WEIGHTS).read_bytes()))
    return f"{len(found)} set of bytes on {', '.join(map(str, NUMBERS))} processes"


def resumed(place: Path, model: str, steps: int) -> str:
    """Begin on 2, kill, resume on 1, kill, resume on 4: whether that gives the bytes of a run never stopped."""
    train(place / "whole", model, "--set", f"steps={steps}", "--shards", 4)
    out, kills = place / "run", 0
    begin = ["train", *_named(model), "--out", out, "--set", f"steps={steps}", "--processes", 2]
    for arguments in (begin, ["train", "--resume", out, "--processes", 1]):
        kills += killed_at_checkpoint(command(*arguments), out / "checkpoints")
    subprocess.run(
        command("train", "--resume", out, "--processes", 4), env=environment(), check=True, capture_output=True
    )
    same = (out / WEIGHTS).read_bytes() == (place / "whole" / WEIGHTS).read_bytes()
    return f"{'equal' if same else 'OTHER'} bytes after {kills} kills"


def killed_at_checkpoint(arguments: list[str], folder: Path) -> bool:
    """Start a training, and kill all of its processes at once, soon after it has written one more checkpoint."""
    last = _newest(folder)
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None:
        time.sleep(0.05)
        if _newest(folder) > max(last, 0):
            time.sleep(random.uniform(0, 0.5))
            for each in [process.pid, *workers(process.pid)]:
                os.kill(each, signal.SIGKILL)
            process.wait()
            time.sleep(0.5)
            return True
    return False


def _newest(folder: Path) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.json")), default=-1)


def workers(launcher: int) -> list[int]:
    """The processes that a launcher has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == launcher:
                found.append(int(stat.parent.name))
        except OSError:  # it has ended
            continue
    return sorted(found)


def kill_one(place: Path, steps: int, expected: str, draw: random.Random, longest: float) -> str:
    """Train on 2 processes, kill one of them at a random moment; what was wrong then, or nothing."""
    out = place / "run"
    began = time.monotonic()
    arguments = command("train", *_named("lenet5"), "--out", out, "--set", f"steps={steps}", "--processes", 2)
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True)
    moment = draw.uniform(3.0, longest)
    while time.monotonic() - began < moment or len(workers(process.pid)) < 2:
        if process.poll() is not None:
            return "it ended before it was killed"
        time.sleep(0.02)
    os.kill(draw.choice(workers(process.pid)), signal.SIGKILL)
    _, said = process.communicate()
    if process.returncode:
        return f"it ended with {process.returncode}: {said.splitlines()[-1:]}"
    if left := list(out.glob(".*.part")):
        return f"it left {left}"
    return "" if sha256((out / WEIGHTS).read_bytes()) == expected else "other bytes"


def kills(place: Path, count: int, steps: int, seed: int, measured: Measured) -> str:
    """Kill one of 2 processes at random moments; how many trainings ended with the undisturbed bytes."""

    def undisturbed() -> list[Any]:
        began = time.monotonic()
        train(place / "whole", "lenet5", "--set", f"steps={steps}", "--processes", 2)
        return [sha256((place / "whole" / WEIGHTS).read_bytes()), time.monotonic() - began - 1.0]

    def killed(number: int) -> str:
        draw = random.Random(f"{seed} {number}")
        while True:
            wrong = kill_one(place, steps, expected, draw, longest)
            shutil.rmtree(place / "run", ignore_errors=True)
            if wrong != "it ended before it was killed":
                return wrong or "equal bytes"

    expected, longest = measured.once(f"kills, {steps} steps undisturbed", undisturbed)
    found = [measured.once(f"kill {number}", lambda: killed(number)) for number in range(1, count + 1)]  # noqa: B023
    return f"{found.count('equal bytes')} of {count} end with the undisturbed bytes"


def counted(place: Path, images: int) -> str:
    """Evaluate a network on so many images on 1 to 4 processes; how many different results that gives."""
    run = place / "run"
    if not run.exists():
        train(run, "lenet5", "--data", "fashion-mnist", "--set", "steps=100")
    found = set()
    for number in (1, 2, 3, 4):
        start = [] if number == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
        arguments = [sys.executable, *start, "-m", "benchmarks.scale", "--evaluate", str(run), "--images", str(images)]
        done = subprocess.run(arguments, env=environment(), check=True, capture_output=True, text=True)
        found.add(done.stdout.strip())
    first = json.loads(found.copy().pop())
    return f"{len(found)} result on 1, 2, 3, 4 processes: {first['n']:,} images, accuracy {first['accuracy']:.4%}"


def evaluate_here(run: str, images: int) -> None:
    """Evaluate a run on the first test images, together with the other processes, and print all of the result."""
    import striate
    from striate.data import Split
    from striate.processes import joined

    data = striate.load("fashion-mnist")
    assert data.test is not None
    some = replace(data, test=Split(data.test.images[:images], data.test.labels[:images]))
    with joined() as world:
        found = striate.evaluate(run, some)
        if world.is_first:
            print(json.dumps({**found.to_dict(), "logits": sha256(found.logits.numpy().tobytes())}))


def speed(place: Path, rounds: int, batch_size: int, measured: Measured) -> dict[str, str]:
    """Images a second of resnet18:stem=small: one process with all cores, exact on one, and a process a core."""
    every, number = cores(), cores()
    ways: dict[str, tuple[int, list[object]]] = {
        "one process": (every, []),
        "one process, 4 shards": (every, ["--shards", 4]),
        f"{number} processes, exact": (1, ["--processes", number]),
        f"{number} processes, ddp": (1, ["--processes", number, "--sync", "ddp"]),
    }

    def rate(way: str) -> float:
        threads, more = ways[way]
        size = ["--image-size", 32, "--batch-size", batch_size, "--set", f"steps={SPEED_STEPS}"]
        result = train(place / "run", "resnet18:stem=small", *size, *more, threads=threads)
        shutil.rmtree(place / "run")
        found: float = result["images_per_second"]
        return found

    rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):  # one after another, so that a slow minute is everybody's
        for way in ways:
            act = partial(undisturbed, partial(rate, way))
            rates[way].append(measured.once(f"speed, {batch_size} images, {way}, round {turn + 1}", act))
    base = rates["one process"]
    return {
        way: f"{statistics.median(each):.1f} images/s, "
        f"{statistics.median(a / b for a, b in zip(each, base, strict=True)):.3f} of one process's"
        for way, each in rates.items()
    }


def mistakes(place: Path) -> list[list[str]]:
    """Commands that can't work: what is printed, the exit code, and the seconds it took."""
    three = ["train", "lenet5", "--processes", 3, "--out", place / "a"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", "-m", "striate"]
    alone = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    rows = []

    def tried(what: str, arguments: list[str], more: dict[str, str] | None = None) -> None:
        began = time.monotonic()
        done = subprocess.run(arguments, env=environment() | (more or {}), capture_output=True, text=True, timeout=120)
        said = [line for line in done.stderr.splitlines() if line.startswith("striate: ")]
        rows.append([what, f"{len(said)} line", re.sub(r"/tmp/\S+", "…", said[0]) if said else "-",
                     str(done.returncode), f"{time.monotonic() - began:.1f} s"])  # fmt: skip
        print(rows[-1], flush=True)

    tried("3 processes, 4 shards", command(*three))
    tried("the same by torchrun", [*torchrun, "train", "lenet5", "--out", str(place / "b")])
    tried("no such data", command("train", "lenet5", "--data", place / "nowhere", "--processes", 2))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        tried("the port is taken", command("train", "lenet5"), {**alone, "MASTER_PORT": port})
    return rows


def main() -> None:
    """Measure what was asked for, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="bytes,resume,kills,counts,speed,mistakes")
    options.add_argument("--models", default=",".join(MODELS))
    for name, usual in (("steps", 50), ("kills", 20), ("rounds", 3), ("seed", 0), ("images", 0), ("batch-size", 64)):
        options.add_argument(f"--{name}", type=int, default=usual)
    options.add_argument("--evaluate", help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, default=Path("scale.json"))
    given = options.parse_args()
    if given.evaluate:
        evaluate_here(given.evaluate, given.images)
        return
    measured, only, rows = Measured(given.out), given.only.split(","), []
    for model in given.models.split(","):
        for part, act in (("bytes", equal_bytes), ("resume", resumed)):
            if part in only:
                with tempfile.TemporaryDirectory() as place:
                    name = f"{part}, {model}, {given.steps} steps"
                    rows.append([name, measured.once(name, lambda: act(Path(place), model, given.steps))])  # noqa: B023
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if "kills" in only:
            name = f"kills, {given.kills}"
            rows.append([name, kills(place, given.kills, 600, given.seed, measured)])
        for images in IMAGES if "counts" in only else ():
            rows.append([f"counts, {images}", measured.once(f"counts, {images}", lambda: counted(place, images))])  # noqa: B023
        if "speed" in only:
            found = speed(place, given.rounds, given.batch_size, measured)
            rows += [[f"speed, {given.batch_size} images a batch, {way}", what] for way, what in found.items()]
        if "mistakes" in only:
            rows += [[row[0], "; ".join(row[1:])] for row in measured.once("mistakes", lambda: mistakes(place))]
    print(table("Scale", ("what", "result"), rows))


if __name__ == "__main__":
    main()
