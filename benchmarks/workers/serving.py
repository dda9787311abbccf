"""Request loop of the workers (lines of JSON in and out), and shared measurements: rates, times, images, memory."""

import gzip
import json
import math
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FULL_BATCHES = 59_904  # training images that batches of 32 and of 128 divide: no compiler meets a last, shorter batch
PEAK = Path("/proc/self/status")
_BLOCK = bytes(2**20)


def serve(**tasks: Callable[..., dict[str, Any]]) -> None:
    """Answer requests until the input ends: {"task": NAME, ...} with the task's arguments, one a line.

    The answer is what the task returns, or {"error": ...}. Whatever libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks = {"memory": memory, **tasks}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = tasks[request.pop("task")](**request)
        except Exception as error:  # an error of one peer must not stop the others
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


class Images(NamedTuple):
    """Training and test images uint8 (N, 28, 28) with labels int64 (N,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def images(files: Sequence[str], most: int | None = None) -> Images:
    """Read a data set from four IDX files, raw or gzipped; at most `most` images of each split."""
    return Images(*(_idx(file)[:most] for file in files))


@cache
def _idx(file: str) -> np.ndarray:
    content = Path(file).read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    return array if len(shape) > 1 else array.astype(np.int64)


def take_memory(size: int) -> None:
    """Write a file of `size` bytes, in whole mebibytes, and remove it.

    The host of a virtual machine may take long over a page that was not used for some seconds; so it does before the
    clock starts.
    """
    with tempfile.TemporaryFile() as file:
        for _ in range(0, size, len(_BLOCK)):
            file.write(_BLOCK)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixel values as float32 (N, 28, 28) in 0 … 1."""
    return pixels.astype(np.float32) / 255


def rate(step: Callable[[], int], seconds: float, untimed: int = 0, finish: Callable[[], Any] = lambda: None) -> float:
    """Throughput in images a second.

    Args:
        step: takes a step and returns its number of images.
        seconds: the least time; one step is always taken.
        untimed: steps before the clock starts.
        finish: waits until all steps are done.
    """
    for _ in range(untimed):
        step()
    finish()
    done, began = 0, time.perf_counter()
    while not done or time.perf_counter() - began < seconds:
        done += step()
    finish()
    return done / (time.perf_counter() - began)


def median_seconds(function: Callable[[], Any], repeats: int, untimed: int = 1) -> float:
    """Median time of a call that returns when its work is done."""
    for _ in range(untimed):
        function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def product_rate(multiply: Callable[[], Any], side: int, repeats: int) -> dict[str, float]:
    """GFLOP/s of a product of two square matrices, from the median time."""
    return {"gflops": 2 * side**3 / median_seconds(multiply, repeats, untimed=2) / 1e9}


def factors(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 matrices (side, side), the same in every worker."""
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, side, side), dtype=np.float32)
    return first, second


class Clock:
    """Stopwatch that is stopped while accuracy is measured; it starts when created."""

    def __init__(self) -> None:
        self._gone, self._since = 0.0, time.perf_counter()

    def hold(self) -> float:
        """Stop, and return the seconds so far."""
        self._gone += time.perf_counter() - self._since
        return self._gone

    def go(self) -> None:
        """Continue."""
        self._since = time.perf_counter()


def trained(
    epochs: int, clock: Clock, epoch: Callable[[], Any], accuracy: Callable[[], float], limit: float | None
) -> dict[str, Any]:
    """Train for some epochs, or until one ends beyond `limit` seconds: seconds and accuracy after each."""
    curve: list[tuple[float, float]] = []
    while len(curve) < epochs and not (limit and curve and curve[-1][0] > limit):
        epoch()
        curve.append((clock.hold(), accuracy()))
        clock.go()
    return {"curve": curve}


def same_size(parameters: int, expected: int) -> None:
    """Raise ValueError if a network has another number of parameters than Striate's."""
    if parameters != expected:
        raise ValueError(f"the network has {parameters:,} parameters, and Striate's has {expected:,}")


def finite(loss: Any) -> float:
    """Return the loss as a float; raise ValueError if training diverged."""
    value = float(loss)
    if not math.isfinite(value):
        raise ValueError(f"the loss became {value}")
    return value


def memory() -> dict[str, float]:
    """Peak memory of this process, in MiB."""
    if PEAK.exists():
        line = next(line for line in PEAK.read_text().splitlines() if line.startswith("VmHWM"))
        return {"mib": int(line.split()[1]) / 1024}
    import resource

    return {"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}  # macOS counts bytes
