"""Classification of photographs by pretrained networks, beside plain PyTorch: many images, and one.

    python -m benchmarks.classifying [MODEL ...] [--images 256] [--rounds 3] [--loops 0]

The contract: float32, images of 224×224 in memory, the same network with the same weights. Plain PyTorch has it in
evaluation mode, channels last, in `torch.inference_mode`, batches of 32 (and of 1), all threads. Striate's many images
are one call of `logits_of`, with the making of its program; its one image a `Predictor` that has had its first calls.
Both in turns; medians of the rounds. With --loops so many Python processes beside it compute without end.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import striate
from benchmarks.machine import ReferenceRate
from benchmarks.neighbours import busy
from benchmarks.tables import number, table
from striate.hardware import cores
from striate.inference import logits_of
from striate.preprocess import Preprocess

MODELS = ("efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "resnet18", "resnet50")
SIZE, BATCH, SINGLE = 224, 32, 20
PREPROCESS = Preprocess(SIZE, SIZE, 3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.classifying", description=__doc__.split("\n")[0])
    options.add_argument("models", nargs="*", default=MODELS)
    options.add_argument("--images", type=int, default=256)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--loops", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(cores())
    rate = ReferenceRate(2048, 5)
    before = rate()
    with busy(chosen.loops):
        rows = [row(name, chosen.images, chosen.rounds) for name in chosen.models]
    header = ["model", "PyTorch, images/s", "Striate", "ratio", "PyTorch, ms an image", "Striate", "ratio"]
    beside = f" beside {chosen.loops} busy loops" if chosen.loops else ""
    print(table(f"{chosen.images} images, and one, {cores()} threads{beside}", header, rows))
    print(f"\n{(before + rate()) / 2:.0f} GFLOP/s")


def row(name: str, count: int, rounds: int) -> list[str]:
    """Measure a model; return its row."""
    model = striate.create(name, 1000, 3, SIZE, seed=0).eval().to(memory_format=torch.channels_last)
    pixels = torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8)
    predictor = striate.Predictor(model, PREPROCESS)
    predictor.prepare(pixels[:1])
    timed: dict[str, list[float]] = {name: [] for name in ("plain", "striate", "plain one", "striate one")}
    plain(model, pixels[:BATCH])
    for _ in range(rounds):
        timed["plain"].append(seconds(lambda: [plain(model, batch) for batch in pixels.split(BATCH)]))
        timed["striate"].append(seconds(lambda: logits_of(model, pixels, PREPROCESS)))
        for kind, call in (("plain one", lambda x: plain(model, x)), ("striate one", predictor)):
            timed[kind] += [seconds(lambda: call(image)) for image in pixels[:SINGLE].split(1)]  # noqa: B023
    middle = {kind: statistics.median(values) for kind, values in timed.items()}
    many = [count / middle["plain"], count / middle["striate"], middle["plain"] / middle["striate"]]
    one = [1000 * middle["plain one"], 1000 * middle["striate one"], middle["plain one"] / middle["striate one"]]
    return [name, *map(number, (*many, *one))]


@torch.inference_mode()
def plain(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Logits as PyTorch's users compute them."""
    return model(PREPROCESS.normalize(pixels))


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
