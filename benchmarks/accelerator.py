"""Training on a GPU: throughput against plain PyTorch, and time to 94 % on Fashion-MNIST.

    python -m benchmarks.accelerator [--device cuda] [--seconds 8] [--turns 3] [--image-size 224] [--no-accuracy]

The contract: the same network in both, alternately in one process, rates after untimed steps, medians of the rounds;
random pixels and labels. Plain PyTorch is written as in its tutorials: a `DataLoader` over float32 tensors, each batch
sent to the device, SGD with Nesterov momentum, in bfloat16 by `torch.autocast` where the row says so. Striate trains by
its own loop from uint8 pixels, `quicknet_m` with the whole recipe `fast`: in the row's precision or, without one, in
the usual one, as for `striate train`. The last line is `striate.train` with `quicknet_m` and `fast` on
Fashion-MNIST, the whole run, and the accuracy of `striate.evaluate`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import striate
from benchmarks.tables import number, percent, table
from benchmarks.workers import serving
from benchmarks.workers.striate_peer import PLAIN
from striate.acceleration.precision import usual
from striate.augmentation import parse
from striate.data import Dataset, Split
from striate.data.loader import Loader
from striate.errors import ArgumentError
from striate.hardware import pick
from striate.preprocess import Preprocess
from striate.training import Training, recipe

CLASSES = 10
EPOCHS = 6
UNTIMED = 5


class Case(NamedTuple):
    """Row of the table: model, image size, batch size, recipe, and precision; None: the usual one."""

    model: str
    side: int
    channels: int
    batch: int
    images: int
    recipe: str
    precision: str | None = None


def cases(side: int) -> tuple[Case, ...]:
    """Rows of the table; `side`: of the ResNet's images, in pixels."""
    return (
        Case("fashion_cnn", 28, 1, 128, 8192, "plain"),
        Case("resnet50", side, 3, 128, 512, "plain", "bfloat16"),
        Case("quicknet_m", 28, 1, 512, 16384, "fast"),
    )


def main() -> None:
    """Print the table, and the accuracy on Fashion-MNIST."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=8, help="the least time of a measurement")
    parser.add_argument("--turns", type=int, default=3, help="how many rounds, each with a measurement of both")
    parser.add_argument("--image-size", type=int, default=224, help="of the ResNet's images")
    parser.add_argument("--no-accuracy", action="store_true", help="do without Fashion-MNIST")
    options = parser.parse_args()
    try:
        device = pick(options.device)
    except ArgumentError as error:
        parser.error(str(error))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    rows = [row(case, device, options.seconds, options.turns) for case in cases(options.image_size)]
    header = ["model", "image", "batch", "Striate, images/s", "in", "plain PyTorch", "ratio"]
    print(table(f"Training on {name}, PyTorch {torch.__version__}", header, rows))
    if not options.no_accuracy:
        print(accuracy(options.device))


def row(case: Case, device: torch.device, seconds: float, turns: int) -> list[str]:
    """Measure a case; return its row."""
    data = pixels(case)
    precision, ours = striate_steps(case, data, device)
    plain = plain_steps(case, data.train, device)
    rates = [(rate(ours, device, seconds), rate(plain, device, seconds)) for _ in range(turns)]
    mine, theirs = (statistics.median(turn) for turn in zip(*rates, strict=True))
    ratio = statistics.median(first / second for first, second in rates)
    size = f"{case.side}×{case.side}×{case.channels}"
    return [case.model, size, str(case.batch), number(mine), precision, number(theirs), f"{number(ratio)}×"]


def rate(steps: Iterator[int], device: torch.device, seconds: float) -> float:
    """Throughput in images a second."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return serving.rate(lambda: next(steps), seconds, UNTIMED, wait)


def striate_steps(case: Case, data: Dataset, device: torch.device) -> tuple[str, Iterator[int]]:
    """Precision and endless training by Striate's loop, which yields each step's number of images."""
    train, model, half = data.train, made(case, device), (0.5,) * case.channels
    preprocess = Preprocess(case.side, case.side, case.channels, mean=half, std=half)
    precision = case.precision or "float32"
    if case.precision is None:
        precision = usual(model, preprocess.normalize(train.images[:1]), case.batch, device)
    chosen = PLAIN if case.recipe == "plain" else recipe(case.recipe, case.model, len(train))
    chosen = chosen.replace(epochs=10**6, batch_size=case.batch, precision=precision).resolved("cross-entropy", data)
    policy = parse(chosen.augment).fitted(train.images)
    batches = Loader(train, preprocess, case.batch, 0, policy if policy.is_active else None, device=device)
    return precision, (step.samples for step in Training(model, batches, chosen))


def plain_steps(case: Case, split: Split, device: torch.device) -> Iterator[int]:
    """Endless training as in PyTorch's tutorials; yields each step's number of images."""
    model = made(case, device).train()
    x = split.images[:].permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)
    loader = DataLoader(TensorDataset(x, split.labels), batch_size=case.batch, shuffle=True, drop_last=True)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    bfloat16 = case.precision == "bfloat16"
    while True:
        for inputs, targets in loader:
            inputs, targets = inputs.to(device), targets.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = loss_fn(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield len(inputs)


def made(case: Case, device: torch.device) -> nn.Module:
    """Create the network with seed 0."""
    return striate.create(case.model, seed=0, channels=case.channels, image_size=case.side).to(device)


def pixels(case: Case) -> Dataset:
    """Random images and labels."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.images, case.side, case.side, case.channels)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(case.images) % CLASSES)
    return Dataset("random pixels", tuple(map(str, range(CLASSES))), split, mirror=True)


def accuracy(device: str) -> str:
    """Train on Fashion-MNIST; return a line with seconds and test accuracy."""
    data = striate.load("fashion-mnist")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        chosen = recipe("fast", "quicknet_m", len(data.train)).replace(epochs=EPOCHS)
        run = striate.train("quicknet_m", data, chosen, device=device, out=Path(folder) / "run")
        seconds = time.perf_counter() - began
        right = striate.evaluate(run, data, device=device).accuracy
    return f"quicknet_m, fast, {EPOCHS} epochs of Fashion-MNIST: {percent(right)} after {number(seconds)} s"


if __name__ == "__main__":
    main()
