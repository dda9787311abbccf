"""Training with and without `torch.compile`: throughput, and the images after which compilation has paid off.

    python -m benchmarks.compiled [MODEL ...]

The contract: the training loop's own steps, of the model's modern recipe on random pixels of Fashion-MNIST's size; with
the model eager and compiled, alternately, after a few untimed steps of each. Rates are medians of the rounds. The first
step of the compiled model counts as its compilation. "Pays off after" is the number of images after which it is ahead,
compilation included; an epoch of Fashion-MNIST has 60,000.
"""

import argparse
import statistics
import time

import torch

import striate
from benchmarks.tables import NOTHING, number, table
from striate.data import Split
from striate.data.loader import Loader
from striate.hardware import cores
from striate.preprocess import Preprocess
from striate.training import Training, recipe

MODELS = ("quicknet_s", "quicknet_m", "lenet5_modern", "fashion_cnn", "resnet18:stem=small")
TURNS, SECONDS, UNTIMED = 5, 4.0, 3


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description=(__doc__ or "").split("\n")[0])
    options.add_argument("models", nargs="*", default=MODELS, help="which models")
    torch.set_num_threads(cores())
    rows = [row(model) for model in options.parse_args().models]
    header = ["model", "eager, images/s", "compiled", "ratio", "compilation, s", "pays off after"]
    print(table(f"torch.compile in training, {cores()} threads", header, rows))


def row(model: str) -> list[str]:
    """Measure a model; return its row."""
    plain, compiled = steps(model, compile=False), steps(model, compile=True)
    began = time.perf_counter()
    next(compiled)
    compilation = time.perf_counter() - began
    for training in (plain, compiled):
        for _ in range(UNTIMED):
            next(training)
    rates = [(rate(plain), rate(compiled)) for _ in range(TURNS)]
    slow, fast = (statistics.median(turn) for turn in zip(*rates, strict=True))
    gained = 1 / slow - 1 / fast  # seconds an image
    repaid = f"{compilation / gained:,.0f} images" if gained > 0 else NOTHING
    ratio = statistics.median(fast / slow for slow, fast in rates)
    return [model, number(slow), number(fast), number(ratio), number(compilation), repaid]


def steps(model: str, compile: bool):
    """Endless training steps of a model."""
    images = torch.randint(0, 256, (2048, 28, 28, 1), dtype=torch.uint8)
    chosen = recipe("modern", model.partition(":")[0]).replace(epochs=10**6, augment="none", precision="float32")
    batches = Loader(Split(images, torch.arange(2048) % 10), Preprocess(28, 28, 1), chosen.batch_size, seed=0)
    training = Training(striate.create(model, seed=0), batches, chosen.replace(loss="cross-entropy"))
    if compile:
        training.model.compile()
    return iter(training)


def rate(training) -> float:
    """Throughput in images a second, over some seconds."""
    began, images = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        images += next(training).samples
    return images / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
