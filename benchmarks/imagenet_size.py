"""ImageNet's size: 1,281,167 training images in 1,000 classes, made for this; listed, trained on, resumed.

    python -m benchmarks.imagenet_size --place FOLDER [--images 1281167] [--processes 2] [--only make,folder,shards]
        [--out imagenet-size.json]

The contract: the images are real photographs, cut to 64×64 pixels and compressed as JPEG, one for each class; the files
of a class are hard links to it, so that the folder needs directories and no blocks. Training is `striate.train` as a
user would call it, in so many processes of torchrun's on this machine, with a cache too small for the pixels: each
batch is decoded when it is needed. A first run makes the index; the next ones find it. docs/scale.md tells what came
of it.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.scale import Measured
from benchmarks.tables import table
from benchmarks.undisturbed import undisturbed
from striate.units import readable

CLASSES, TRAIN, VAL = 1000, 1_281_167, 50_000
MODEL = "quicknet_s:stem=small"
SIDE, QUALITY = 64, 75
CACHE = 2 * 10**9  # bytes; all pixels would be 16 GB


def make(folder: Path, images: int) -> None:
    """Make the folder: train/CLASS/NUMBER.JPEG, and val likewise with a 25th of the images."""
    samples = sorted(Path(os.environ["STRIATE_DATA"], "imagenet-sample").glob("*.JPEG"))
    for label in range(CLASSES):
        with Image.open(samples[label % len(samples)]) as photograph:
            left, top = ((side - SIDE * 3) * (label // len(samples)) // 30 for side in photograph.size)
            cut = photograph.convert("RGB").crop((left, top, left + SIDE * 3, top + SIDE * 3)).resize((SIDE, SIDE))
        for split, total in (("train", images), ("val", images * VAL // TRAIN)):
            place = folder / split / f"n{label:08}"
            place.mkdir(parents=True)
            first = place / f"n{label:08}_0.JPEG"
            cut.save(first, "JPEG", quality=QUALITY)
            for number in range(1, total // CLASSES + (label < total % CLASSES)):
                os.link(first, place / f"n{label:08}_{number}.JPEG")


def train_here(source: str, run: Path, steps: int, stop: int) -> None:
    """Train or resume in this process, together with the others; print when the first step was done, and memory.

    Args:
        source: the data.
        run: its folder; resumed, if it is there.
        steps: of all of it.
        stop: after which step it is interrupted, as by Ctrl-C.
    """
    import striate
    from striate.errors import InterruptedRunError
    from striate.processes import joined
    from striate.training import Step

    began, found = float(os.environ["BEGAN"]), {}

    def watch(event: Any) -> None:
        if isinstance(event, Step):
            if "first step" not in found:
                found["first step"] = time.time() - began
                found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
                found["share"] = proportional_memory()
            if event.step == stop:
                signal.raise_signal(signal.SIGINT)

    with joined() as world:
        with suppress(InterruptedRunError):
            if (run / "run.json").exists():
                striate.resume(run, observer=watch)
            else:
                data = striate.load(source, image_size=SIDE)
                found["loaded"] = time.time() - began
                striate.train(MODEL, data, out=run, steps=str(steps), batch_size=256, observer=watch)
        found["all memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        told = world.gathered(found)
    if world.is_first:
        print(json.dumps(told))


def proportional_memory() -> int:
    """This process's memory in bytes, of pages that several share its part alone (PSS)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measured(source: Path, run: Path, processes: int, steps: int, stop: int = 0) -> dict[str, float]:
    """Seconds till all was loaded and the first step done; the first process's memory then, and the most of one."""
    start = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments = ["--train", source, "--kept", run, "--steps", steps, "--stop", stop]
    more = {"BEGAN": str(time.time()), "OMP_NUM_THREADS": "1", "STRIATE_CACHE_SIZE": str(CACHE)}
    done = subprocess.run(
        [sys.executable, *start, "-m", "benchmarks.imagenet_size", *map(str, arguments)],
        env={**os.environ, **more}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    return {**told[0], "all memory": max(each["all memory"] for each in told)}


def described(found: dict[str, float]) -> str:
    """One row's text."""
    loaded = f"loaded after {found['loaded']:.1f} s, " if "loaded" in found else ""
    memory, share, most = (readable(int(found[name])) for name in ("memory", "share", "all memory"))
    return (
        f"{loaded}first step after {found['first step']:.1f} s, at most {memory} a process till then, {share} at that "
        f"moment (PSS), at most {most} till the end"
    )


def tried(name: str, place: Path, processes: int, kept: Measured) -> list[list[str]]:
    """Train from a cold index and from a warm one, stopped after three steps; resume for one more; then to the end."""
    source, run, stopped = place / name, place / f"run-{name}", place / f"stopped-{name}"

    def begun() -> str:
        shutil.rmtree(run, ignore_errors=True)
        return described(measured(source, run, processes, 5, stop=3))

    def resumed() -> str:
        if not stopped.exists():
            shutil.copytree(run, stopped)
        shutil.rmtree(run)
        shutil.copytree(stopped, run)
        return described(measured(source, run, processes, 5, stop=4))

    ways = {
        "no index yet": begun,
        "a warm index": partial(undisturbed, begun),
        "resumed": partial(undisturbed, resumed),
        "to the end": lambda: described(measured(source, run, processes, 5)),
    }
    return [[f"{name}, {what}", kept.once(f"{name}, {what}", act)] for what, act in ways.items()]


def main() -> None:
    """Measure what was asked for, and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--place", type=Path, default=Path("imagenet-size"))
    options.add_argument("--only", default="make,folder,shards")
    options.add_argument("--out", type=Path, default=Path("imagenet-size.json"))
    for name, usual in (("images", TRAIN), ("processes", 2), ("steps", 5), ("stop", 0)):
        options.add_argument(f"--{name}", type=int, default=usual)
    options.add_argument("--train", help=argparse.SUPPRESS)
    options.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.train:
        train_here(given.train, given.kept, given.steps, given.stop)
        return
    kept, only, folder, shards = (
        Measured(given.out),
        given.only.split(","),
        given.place / "folder",
        given.place / "shards",
    )
    rows: list[list[str]] = []
    if "make" in only and not folder.exists():
        make(folder, given.images)
    if "pack" in only or ("shards" in only and not shards.exists()):
        rows.append(["pack", kept.once("pack", lambda: packed(folder, shards))])
    for name in ("folder", "shards"):
        if name in only:
            rows += tried(name, given.place, given.processes, kept)
    print(table(f"{given.images:,} images", ("what", "result"), rows))


def packed(folder: Path, shards: Path) -> str:
    """Pack the folder, as a user would."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "striate", "data", "pack", folder, shards], check=True)
    return f"{time.monotonic() - began:.0f} s"


if __name__ == "__main__":
    main()
