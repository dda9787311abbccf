"""Striate by its public interface; throughput is that of its training loop and of a `Predictor`."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import torch

import striate
from benchmarks.workers import serving
from striate.acceleration.precision import usual
from striate.data import Split, load
from striate.data.loader import Loader
from striate.data.sources import mnist
from striate.inference import Predictor
from striate.preprocess import Preprocess
from striate.training import Recipe, Step, Training, recipe

PLAIN = Recipe(
    name="plain",
    epochs=10**6,
    optimizer="sgd",
    learning_rate=0.01,
    momentum=0.9,
    nesterov=True,
    weight_decay=0,
    schedule="constant",
    warmup=0,
    clip_norm=0,
    loss="cross-entropy",
    precision="float32",
    augment="none",
)
UNTIMED = 20  # batches before the clock starts: a predictor has its program after 16


@cache
def _made(network: str, parameters: int) -> torch.nn.Module:
    model = striate.create(network, seed=0)
    serving.same_size(sum(p.numel() for p in model.parameters() if p.requires_grad), parameters)
    return model


@cache
def _data(files: tuple[str, ...]) -> tuple[Split, torch.Tensor, Preprocess]:
    """Training images and test images, uint8 (N, 28, 28, 1), and their preprocessing."""
    images, labels, test, _ = (mnist.read(Path(file), 3 if "images" in Path(file).name else 1) for file in files)
    train = Split(images[: serving.FULL_BATCHES, ..., None], labels[: serving.FULL_BATCHES].long())
    return train, test[..., None], Preprocess(28, 28, 1).with_power_sums(train.power_sums())


@cache
def _steps(
    network: str, batch: int, parameters: int, files: tuple[str, ...], trial: bool
) -> tuple[str, Iterator[Step]]:
    """Precision of training, and its steps."""
    (train, _, preprocess), model, device = _data(files), _made(network, parameters), torch.device("cpu")
    plain = PLAIN.replace(batch_size=batch)
    if trial:
        plain = plain.replace(precision=usual(model, preprocess.normalize(train.images[:1]), batch, device))
    return plain.precision, iter(Training(model, Loader(train, preprocess, batch, plain.seed), plain))


def train(
    network: str, batch: int, parameters: int, files: list[str], seconds: float, untimed: int, trial: bool = False
) -> dict[str, float | str]:
    """Training throughput in images a second, and the last loss; `trial`: in the precision `striate.train` chooses."""
    precision, steps = _steps(network, batch, parameters, tuple(files), trial)
    images_per_second = serving.rate(lambda: next(steps).samples, seconds, untimed)
    return {"images_per_second": images_per_second, "loss": next(steps).loss, "precision": precision}


def infer(
    network: str, batch: int, parameters: int, files: list[str], images: int, seconds: float, trial: bool = False
) -> dict[str, float | str]:
    """Classification throughput in images a second, over `images` images a call; `trial`: in the usual precision."""
    model = _made(network, parameters)
    _, pixels, preprocess = _data(tuple(files))
    pixels, predictor = pixels[:images], Predictor(model, preprocess, precision="auto" if trial else "float32")

    def classify() -> int:
        return len(predictor(pixels, batch))

    images_per_second = serving.rate(classify, seconds, untimed=1 + UNTIMED * batch // images)
    return {"images_per_second": images_per_second, "precision": predictor.precision}


def latency(network: str, parameters: int, files: list[str], repeats: int) -> dict[str, float]:
    """Latency: seconds from one image to its class."""
    model = _made(network, parameters)
    _, pixels, preprocess = _data(tuple(files))
    one, predictor = pixels[:1], Predictor(model, preprocess)

    def classify() -> Any:
        return predictor(one).argmax(dim=1).item()

    return {"seconds": serving.median_seconds(classify, repeats, untimed=UNTIMED)}


def product(side: int, repeats: int) -> dict[str, float]:
    """Reference matmul rate, GFLOP/s."""
    first, second = map(torch.from_numpy, serving.factors(side))
    return serving.product_rate(lambda: first @ second, side, repeats)


def program(
    data: str, model: str, named: str, settings: dict[str, Any], seed: int, images: int | None
) -> dict[str, Any]:
    """Run `striate.train` with a recipe, then `striate.evaluate`: seconds of the former, writing its run included.

    The curve has one point: recipes are made to be good at their end. Its accuracy averages the recipe's views; "alone"
    is that of each image by itself. The precision is the one that training chose.
    """
    whole = striate.load(data)
    some = Split(whole.train.images[:images], whole.train.labels[:images])
    chosen = recipe(named, model, len(some)).replace(**settings, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        clock = serving.Clock()
        run = striate.train(model, replace(whole, train=some, test=None), chosen, out=Path(folder) / "run")
        seconds = clock.hold()
        alone = striate.evaluate(run, whole, tta="none").accuracy
        curve = [(seconds, striate.evaluate(run, whole).accuracy)]
        return {"curve": curve, "alone": alone, "precision": run.recipe.precision}


def folder(path: str, side: int, batch: int, epochs: int, processes: int, memory: int) -> dict[str, Any]:
    """Seconds of each epoch; the first begins with an empty cache and loads the folder.

    Training images are read as by `train`, so that the next epoch's batches are prefetched when one ends, and held-out
    images as by `evaluate`. The last epoch's seconds include the end of the threads.
    """
    serving.take_memory(memory)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as cache_folder:
        os.environ["STRIATE_CACHE"] = cache_folder
        began = time.perf_counter()
        data = load(path, image_size=side, channels=3, fit="stretch")
        held_out = [split.images for name, split in data.splits() if name != "train"]
        preprocess = Preprocess(side, side, 3, "stretch", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        batches = Loader(data.train, preprocess, batch, seed=0)
        steps = batches.steps_per_epoch
        for first in range(0, epochs * steps, steps):
            seen = sum(len(batches[step].targets) for step in range(first, first + steps))
            for part in chain.from_iterable(images.split(batch) for images in held_out):
                seen += len(preprocess.normalize(part))
            ends.append(time.perf_counter())
        batches.close()
        ends[-1] = time.perf_counter()
        return {"seconds": [end - start for start, end in pairwise([began, *ends])], "images": seen}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serving.serve(train=train, infer=infer, latency=latency, product=product, program=program, folder=folder)
