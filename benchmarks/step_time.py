"""The time a step takes on many processes: a model, fitted to what this machine does, and checked against the rest.

    python -m benchmarks.step_time [--only fit,check,table] [--rounds 3] [--out step-time.json]
    python -m benchmarks.step_time --only table --rate 400 --latency 2e-5 --bandwidth 1e10 --decode 150 --cores 12

A step is its computation, the sum of the gradients, and what is left of reading its images:

    computation   shards · begin + samples · sample          of one process; `begin` is once a step, too
    sum           2 (n − 1) latency + bytes (work + 2 (n − 1) / n / bandwidth)
    input         samples / (cores · decode)                 in the background, so only what is longer than the rest

A sum's work is what each process copies and adds by itself. On one machine its cores do the work of the links, too, so
that n processes on c cores take n / c times as long for all of it, where n > c. `exact` computes several shards and
then sums; `fast` computes one, and hides what it can of the sum behind it.

The contract: the coefficients are fitted to some measurements, the errors are of others. One thread a process, gloo
over the loopback interface. The measurements are kept in the file of --out. docs/scale.md tells what came of it.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from benchmarks.scale import Measured
from benchmarks.tables import table
from benchmarks.undisturbed import undisturbed
from striate.hardware import cores

MODEL, SIDE = "resnet18:stem=small", 32
GRADIENTS = 4 * 11_173_962  # bytes
SIZES = tuple(2**20 * mebibytes for mebibytes in (1, 4, 8, 16, 32, 64))  # bytes
FITTED_SUMS = tuple((n, size) for n in (2, 4) for size in (SIZES[1], SIZES[-1]))  # processes, bytes
HELD_OUT_SUMS = tuple((n, size) for n in (2, 3, 4) for size in SIZES if (n, size) not in FITTED_SUMS)
TURNS = 61  # of each sum, each time the processes are started
WORLDS = (1, 8, 64, 256, 1024)
RESNET50 = 4 * 25_557_032  # bytes of its gradients
# What is trained: processes, batch, shards, how they are divided.
Way = tuple[int, int, int, str]
FITTED_WAYS: tuple[Way, ...] = ((1, 16, 1, "exact"), (1, 64, 1, "exact"), (1, 64, 4, "exact"))
HELD_OUT_WAYS: tuple[Way, ...] = (
    (1, 32, 1, "exact"), (1, 32, 2, "exact"), (1, 96, 4, "exact"), (2, 64, 2, "exact"), (2, 64, 4, "exact"),
    (2, 96, 4, "exact"), (2, 64, 2, "ddp"), (2, 96, 2, "ddp"),
)  # fmt: skip


@dataclass(frozen=True)
class Coefficients:
    """What a step's time follows from.

    Args:
        latency: seconds of one message.
        bandwidth: bytes a second of each process's link.
        work: seconds in which a process copies and adds a byte of a sum.
        begin: seconds that a shard takes by itself, however small.
        sample: seconds of one sample.
        step: seconds of a step besides, such as the optimiser's.
        decode: images a second that a core decodes; 0 if there is nothing to decode.
        cores: of each process, that decode.
        shared_cores: that all processes share, with the work of their links; 0 if each has its own.
        hidden: the share of the computation behind which `fast` can hide the sum: 2/3, the backward pass, where
            another device than the one that computes sends.
    """

    latency: float
    bandwidth: float
    work: float = 0.0
    begin: float = 0.0
    sample: float = 0.0
    step: float = 0.0
    decode: float = 0.0
    cores: int = 1
    shared_cores: int = 0
    hidden: float = 0.0


def sum_time(known: Coefficients, processes: int, size: float) -> float:
    """Seconds in which all processes get the sum of as many vectors of `size` bytes."""
    messages, works, sent = sum_terms(processes, size, known.shared_cores)
    return messages * known.latency + works * known.work + sent / known.bandwidth


def sum_terms(processes: int, size: float, shared_cores: int) -> tuple[float, float, float]:
    """What a sum's time is proportional to: messages, bytes of own work, and bytes over a link."""
    crowding = max(1.0, processes / shared_cores) if shared_cores else 1.0
    return (
        crowding * 2 * (processes - 1),
        crowding * size,
        crowding * 2 * (processes - 1) / processes * size,
    )


def step_time(known: Coefficients, processes: int, samples: float, shards: int, size: float, sync: str) -> float:
    """Seconds of a step.

    Args:
        known: the coefficients.
        processes: how many there are.
        samples: of each process.
        shards: that each process computes one after another.
        size: bytes of the gradients.
        sync: "exact" or "ddp".
    """
    computed = known.step + shards * known.begin + samples * known.sample
    summed = sum_time(known, processes, size)
    if sync == "ddp":
        summed = max(summed - known.hidden * samples * known.sample, 2 * (processes - 1) * known.latency)
    read = samples / (known.decode * known.cores) if known.decode else 0.0
    return max(computed + summed, read)


def fitted_sums(times: dict[tuple[int, int], float], shared_cores: int) -> Coefficients:
    """Latency, work and bandwidth that fit times by (processes, bytes) best, each by its relative error."""
    rows = np.array([sum_terms(n, size, shared_cores) for n, size in times])
    seconds = np.array(list(times.values()))
    (latency, work, per_byte), _ = nnls(rows / seconds[:, None], np.ones(len(seconds)))
    bandwidth = 1 / per_byte if per_byte else math.inf
    return Coefficients(float(latency), float(bandwidth), float(work), shared_cores=shared_cores)


def fitted_steps(known: Coefficients, times: dict[Way, float]) -> Coefficients:
    """The coefficients with those of the computation, from steps on one process."""
    rows = np.array([[1.0, shards, batch] for _, batch, shards, _ in times])
    (step, begin, sample), *_ = np.linalg.lstsq(rows, np.array(list(times.values())), rcond=None)
    return replace(known, step=float(step), begin=float(begin), sample=float(sample))


# ---------------------------------------------------------------- measuring


def sums_here(rounds: int) -> None:
    """Time sums of several sizes in this process and the others, by torch's all-reduce and by Striate's exact one."""
    import torch
    import torch.distributed as dist

    from striate.hardware import keep_memory
    from striate.processes import joined

    keep_memory()  # as training does
    with joined() as world:
        found = {}
        for size in SIZES:
            values = torch.ones(size // 4)

            def exact(values: torch.Tensor = values) -> None:
                world.summed(world.size, lambda parts: [values])

            def fast(values: torch.Tensor = values) -> None:
                dist.all_reduce(values, group=world.links.group)

            for name, act in (("exact", exact), ("ddp", fast)):
                act()
                seconds = []
                for _ in range(rounds):
                    dist.barrier(group=world.links.group)
                    began = time.perf_counter()
                    act()
                    seconds.append(world.greatest(time.perf_counter() - began))
                found[f"{name} {size}"] = statistics.median(seconds)
        if world.is_first:
            print(json.dumps(found))


def steps_here(model: str, side: int, batch: int, shards: int, sync: str, steps: int) -> None:
    """Time steps of a training in this process and the others: the median."""
    import tempfile

    import striate
    from striate.data import Dataset
    from striate.processes import joined
    from striate.training import Recipe, Step

    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 256, (512, side, side, 3), dtype=np.uint8), np.arange(512) % 10
    data = Dataset.from_arrays(images, labels, test=(images[:2], labels[:2]), source="noise")
    recipe = Recipe(
        batch_size=batch,
        steps=str(steps),
        shards=shards,
        sync=sync,
        augment="none",
        calibration=0.0,
        precision="float32",
        optimizer="sgd",
    )
    seconds: list[float] = []

    def watch(event: Any) -> None:
        if isinstance(event, Step):
            seconds.append(event.seconds)

    with tempfile.TemporaryDirectory() as place, joined() as world:
        striate.train(model, data, recipe, out=Path(place) / "run", threads=1, observer=watch)
        if world.is_first:
            print(json.dumps(statistics.median(seconds[3:])))


def measured(processes: int, *arguments: object, copies: int = 1) -> Any:
    """What this program prints in so many processes; the mean of as many copies at once."""
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *start, "-m", "benchmarks.step_time", *map(str, arguments)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) for _ in range(copies)]
    said = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running]
    return statistics.mean(said) if copies > 1 else said[0]


def sums_of(kept: Measured, processes: int, turn: int) -> dict[str, float]:
    """Seconds of sums, by kind and size."""
    found: dict[str, float] = kept.once(
        f"sums, {processes} processes, round {turn}", lambda: undisturbed(lambda: measured(processes, "--sums", TURNS))
    )
    return found


def step_of(kept: Measured, way: Way, turn: int) -> float:
    """Seconds of a step; one process has a second one beside it, on the other core."""
    processes, batch, shards, sync = way
    copies = 1 if processes > 1 else 2
    found: float = kept.once(
        f"step, {processes} processes, batch {batch}, {shards} shards, {sync}, round {turn}",
        lambda: undisturbed(lambda: measured(processes, "--train", batch, shards, sync, copies=copies)),
    )
    return found


def compared(kept: Measured, rounds: int) -> tuple[dict[str, Coefficients], list[list[str]]]:
    """The coefficients, and a row for each measurement that they were not fitted to.

    All are measured once a round, so that a slow minute is no fault of one of them, and the medians count.
    """
    sums: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    steps: dict[Way, list[float]] = defaultdict(list)
    for turn in range(1, rounds + 1):
        for processes in (2, 3, 4):
            for name, seconds in sums_of(kept, processes, turn).items():
                sync, size = name.split()
                sums[sync, processes, int(size)].append(seconds)
        for way in (*FITTED_WAYS, *HELD_OUT_WAYS):
            steps[way].append(step_of(kept, way, turn))
    rows, known = [], {}
    one_process = {way: statistics.median(steps[way]) for way in FITTED_WAYS}
    for sync in ("exact", "ddp"):
        of_sums = {which: statistics.median(sums[sync, *which]) for which in (*FITTED_SUMS, *HELD_OUT_SUMS)}
        fitted = fitted_sums({which: of_sums[which] for which in FITTED_SUMS}, cores())
        known[sync] = fitted_steps(fitted, one_process)
        for n, size in HELD_OUT_SUMS:
            name = f"{sync} sum of {size / 2**20:g} MiB, {n} processes"
            rows.append(compared_row(name, sum_time(fitted, n, size), of_sums[n, size]))
    for way in HELD_OUT_WAYS:
        processes, batch, shards, sync = way
        expected = step_time(known[sync], processes, batch / processes, shards // processes, GRADIENTS, sync)
        name = f"{sync} step, {processes} processes, batch {batch}, {shards} shards"
        rows.append(compared_row(name, expected, statistics.median(steps[way])))
    return known, rows


def compared_row(name: str, expected: float, seconds: float) -> list[str]:
    """A row of what was expected and what was measured."""
    return [name, f"{expected * 1e3:.2f} ms", f"{seconds * 1e3:.2f} ms", f"{expected / seconds - 1:+.1%}"]


def extrapolated(known: Coefficients, samples: int, shards: int, size: float) -> list[list[str]]:
    """A row for each number of processes: seconds and images a second, exact and fast."""
    rows = []
    for n in WORLDS:
        row = [f"{n:,}"]
        for sync in ("exact", "ddp"):
            seconds = step_time(known, n, samples, shards if sync == "exact" else 1, size, sync)
            alone = step_time(known, 1, samples, 1, size, "ddp")
            row += [f"{seconds:.3g} s", f"{n * samples / seconds:,.0f}", f"{alone / seconds:.0%}"]
        rows.append(row)
    return rows


def decoded_here(workers: int, half: int) -> None:
    """Decode half of the photographs of ImageNet's sample to 224×224, and print images a second."""
    from striate.data.images.decoder_pool import Decoders
    from striate.data.images.image_ref import ImageRef
    from striate.preprocess import Preprocess

    photographs = sorted(Path(os.environ["STRIATE_DATA"], "imagenet-sample").glob("*.JPEG"))[half::2]
    decoders = Decoders(Preprocess.resizing((224, 224), 3, "crop"), workers, processes=False)
    rates = []
    for _ in range(5):
        image_refs = [ImageRef(each) for each in photographs * 4]
        began = time.perf_counter()
        for _ in decoders.stream(image_refs):
            pass
        rates.append(len(image_refs) / (time.perf_counter() - began))
    decoders.close()
    print(json.dumps(statistics.median(rates)))


def resnet50(kept: Measured, known: Coefficients) -> Coefficients:
    """The coefficients of ResNet-50 on photographs, on a core of this machine."""

    def step(batch: int) -> float:
        arguments = ["--train", batch, 1, "exact", "--model", "resnet50", "--side", 224, "--steps", 7]
        found: float = kept.once(f"resnet50, batch {batch}", lambda: measured(1, *arguments, copies=2))
        return found

    sample = (step(8) - step(4)) / 4
    decode = kept.once("decoding, one core", lambda: measured(1, "--decode-here", 1, 0))
    return replace(known, sample=sample, begin=0.0, step=step(4) - 4 * sample, decode=decode)


def main() -> None:
    """Measure what was asked for, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="fit,resnet50,table")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--out", type=Path, default=Path("step-time.json"))
    for name, usual, meaning in (
        ("rate", 400.0, "images a second of a device"),
        ("latency", 2e-5, "seconds of a message"),
        ("bandwidth", 1.25e9, "bytes a second of a process's link"),
        ("decode", 0.0, "images a second that a core decodes; 0: no limit"),
        ("hidden", 2 / 3, "share of the computation that can hide the sum"),
    ):
        options.add_argument(f"--{name}", type=float, default=usual, help=meaning)
    for name, usual in (("cores", 1), ("samples", 32), ("shards", 1), ("steps", 8), ("side", SIDE)):
        options.add_argument(f"--{name}", type=int, default=usual)
    options.add_argument("--model", default=MODEL)
    options.add_argument("--sums", type=int, help=argparse.SUPPRESS)
    options.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options.add_argument("--decode-here", nargs=2, type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.sums:
        sums_here(given.sums)
    elif given.train:
        steps_here(given.model, given.side, int(given.train[0]), int(given.train[1]), given.train[2], given.steps)
    elif given.decode_here:
        decoded_here(*given.decode_here)
    else:
        print("\n".join(tables(given)))


def tables(given: argparse.Namespace) -> Iterator[str]:
    """The tables that were asked for."""
    kept, only = Measured(given.out), given.only.split(",")
    if "fit" in only:
        known, rows = compared(kept, given.rounds)
        one = kept.once("decoding, one core", lambda: measured(1, "--decode-here", 1, 0))
        two = kept.once("decoding other images, two cores", lambda: measured(1, "--decode-here", 2, 1))
        rows.append(compared_row("decoding an image, 2 cores", 1 / (2 * one), 1 / two))
        for sync, each in known.items():
            yield f"{sync}: {each}"
        yield table("Measurements that nothing was fitted to", ("what", "expected", "measured", "error"), rows)
        if "resnet50" in only:
            yield f"resnet50: {resnet50(kept, known['ddp'])}"
    if "table" in only:
        assumed = Coefficients(
            given.latency, given.bandwidth, sample=1 / given.rate, decode=given.decode, cores=given.cores,
            hidden=given.hidden,
        )  # fmt: skip
        header = ("processes", "exact", "images/s", "efficiency", "fast", "images/s", "efficiency")
        yield f"assumed: {assumed}, {given.samples} samples and {given.shards} shards a process"
        yield table("ResNet-50", header, extrapolated(assumed, given.samples, given.shards, RESNET50))


if __name__ == "__main__":
    main()
