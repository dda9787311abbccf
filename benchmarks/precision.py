"""Training in float32 and bfloat16: the measurements behind the rule in `acceleration/precision.py`.

    python -m benchmarks.precision [--device cuda]

The contract: the training loop's own steps, of the model's modern recipe on random pixels, in both precisions
alternately, after a few untimed steps of each. Rates are medians of the rounds. "gain" is bfloat16's rate divided by
float32's; the last column is what the rule chooses on a device that has instructions for bfloat16.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch

import striate
from benchmarks.compiled import rate
from benchmarks.tables import number, table
from striate.acceleration.precision import LEAST_WORK, multiply_adds, supported
from striate.data import Split
from striate.data.loader import Loader
from striate.hardware import cores, pick
from striate.preprocess import Preprocess
from striate.training import Step, Training, recipe

ROUNDS, UNTIMED, IMAGES = 5, 3, 512


@dataclass(frozen=True)
class Case:
    """Row of the table: model, image size, channels and batch size."""

    model: str
    side: int = 28
    channels: int = 1
    batch: int = 128


CASES = (
    *(Case("mlp", batch=batch) for batch in (32, 128)),
    *(Case("lenet5_modern", batch=batch) for batch in (8, 32, 128)),
    *(Case("quicknet_s", side, batch=64) for side in (8, 28)),
    *(Case("quicknet_m", batch=batch) for batch in (8, 64)),
    Case("fashion_cnn"),
    Case("resnet18:stem=small", 32, 3, 64),
    *(Case(model, 224, 3, 16) for model in ("resnet50", "mobilenet_v2", "efficientnet_lite0", "convnext_tiny")),
)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = pick(options.parse_args().device)
    torch.set_num_threads(cores())
    has = "has" if supported(device) else "has no"
    header = ["model", "pixels", "batch", "float32, images/s", "bfloat16", "gain", "multiply-adds, millions", "rule"]
    rows = [row(case, device) for case in CASES]
    print(table(f"Precision of training on {device}, which {has} instructions for bfloat16", header, rows))


def row(case: Case, device: torch.device) -> list[str]:
    """Measure a model; return its row."""
    both = [steps(case, precision, device) for precision in ("float32", "bfloat16")]
    for training in both:
        for _ in range(UNTIMED):
            next(training)
    rates = [[rate(training) for training in both] for _ in range(ROUNDS)]
    medians = [statistics.median(turn) for turn in zip(*rates, strict=True)]
    gain = statistics.median(near / exact for exact, near in rates)
    model = striate.create(case.model, 10, case.channels, case.side)
    work = case.batch * multiply_adds(model, torch.zeros(1, case.channels, case.side, case.side))
    pays = work >= LEAST_WORK[device.type]
    rule = "bfloat16" if pays else "float32"
    return [case.model, str(case.side), str(case.batch), *map(number, (*medians, gain, work / 1e6)), rule]


def steps(case: Case, precision: str, device: torch.device) -> Iterator[Step]:
    """Endless training steps of a model."""
    images = torch.randint(0, 256, (IMAGES, case.side, case.side, case.channels), dtype=torch.uint8)
    half = (0.5,) * case.channels
    preprocess = Preprocess(case.side, case.side, case.channels, mean=half, std=half)
    chosen = recipe("modern", case.model.partition(":")[0]).replace(
        epochs=10**6, batch_size=case.batch, augment="none", precision=precision, loss="cross-entropy"
    )
    batches = Loader(Split(images, torch.arange(IMAGES) % 10), preprocess, case.batch, seed=0, device=device)
    model = striate.create(case.model, 10, case.channels, case.side, seed=0).to(device)
    return iter(Training(model, batches, chosen))


if __name__ == "__main__":
    main()
