"""Ablation of quicknet and of the recipe `fast`: one change at a time, chosen by images held out of the training set.

    python -m benchmarks.ablation [--data fashion-mnist] [--model quicknet_s] [--epochs 2] [--seeds 3]
                                  [--precision float32] [--only NAME …] [--test] [--out FILE] [--show]

The contract: each variation changes one thing (`variations.py`) and is trained with the same seeds; as many at once as
there are cores, each with one thread. Accuracy is that of a sixth of the training images, the same share of each class,
which is not trained on; `--test` trains on all, and measures the test images, for what is no choice any more. It is
given for each image by itself and averaged over the recipe's views. Differences are of the latter, with a 95 % interval
(Welch). Time is processor time for a training image, as a share of the unchanged network's. After Ctrl-C or a crash the
same command continues.
"""

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from sklearn.model_selection import train_test_split

import striate
from benchmarks import machine
from benchmarks.store import Result, Store
from benchmarks.tables import NOTHING, number, percent, table
from benchmarks.variations import BASE, VARIATIONS, Variation, some_images
from striate import seeding
from striate.augmentation import parse
from striate.data import Dataset, Split
from striate.data.loader import Loader
from striate.errors import StriateError, unknown
from striate.files import write_atomic
from striate.hardware import cores
from striate.inference import score
from striate.preprocess import Preprocess
from striate.training import Recipe, Training, recipe

HELD_OUT = 1 / 6  # of the training images
NAMES = {each.name: each for each in VARIATIONS}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--data", default="fashion-mnist", help="a data set of single labels, by name or path")
    options.add_argument("--test", action="store_true", help="measure the test images, with nothing held out")
    options.add_argument("--model", default="quicknet_s", help="a quicknet")
    options.add_argument("--epochs", type=int, default=2, help="of each training")
    options.add_argument("--seeds", type=int, default=3, help="of each variation")
    options.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of each training")
    options.add_argument("--only", nargs="+", default=list(NAMES), help="some of the variations, by name")
    options.add_argument(
        "--out", type=Path, help="the results; runs/bench/ablation-DATA-MODEL-EPOCHS.json if not given"
    )
    options.add_argument("--show", action="store_true", help="measure nothing, print the table of the file")
    chosen = options.parse_args(arguments)
    usual = f"ablation-{Path(chosen.data).name}-{chosen.model}-{chosen.epochs}{'-test' * chosen.test}.json"
    path = chosen.out or Path("runs/bench") / usual
    try:
        if wrong := [name for name in chosen.only if name not in NAMES]:
            raise unknown("variation", wrong[0], NAMES)
        if not chosen.show:
            fast = recipe("fast", chosen.model).replace(epochs=chosen.epochs, precision=chosen.precision)
            measured = Measured(chosen.data, chosen.test)
            measure(path, measured, chosen.model, fast, chosen.seeds, [BASE.name, *chosen.only])
        text = report(Store.opened(path))
        write_atomic(path.with_suffix(".md"), text.encode())
    except StriateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    return 0


@dataclass(frozen=True)
class Measured:
    """Images that accuracies are of: the test images of a data set, or else a part of its training images."""

    data: str
    test: bool

    def load(self) -> Dataset:
        """The data set, whose test images are those to be measured."""
        data = striate.load(self.data)
        return data if self.test else divided(data)

    def __str__(self) -> str:
        return f"{Path(self.data).name}, {'test images' if self.test else 'held-out training images'}"


def divided(data: Dataset) -> Dataset:
    """The data set with a sixth of its training images for test images."""
    labels = data.train.labels
    parts = train_test_split(range(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0)
    train, test = (Split(data.train.images[sorted(part)], labels[sorted(part)]) for part in parts)
    return replace(data, train=train, val=None, test=test)


def measure(path: Path, measured: Measured, model: str, fast: Recipe, seeds: int, names: list[str]) -> None:
    """Train every variation that the file lacks, seed by seed, and keep each result when it is there."""
    header = {"machine": machine.machine(1), "measured": str(measured), "model": model, "recipe": fast.model_dump()}
    store = Store(path, header)
    keys = [f"{name}/{seed}" for seed in range(seeds) for name in dict.fromkeys(names)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_trained, measured, model, fast, key): key for key in keys if not store.has(key)}
        try:
            for done in as_completed(waiting):
                result = store.measure(waiting[done], done.result)
                print(f"{waiting[done]}: {result['views']:.2%}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or all that wait would still be trained
            raise


def _trained(measured: Measured, model: str, fast: Recipe, key: str) -> Result:
    """Run one training in a process of its own."""
    torch.set_num_threads(1)
    name, _, seed = key.rpartition("/")
    at = {"commit": machine.commit()}
    return at | trained(NAMES[name], model, fast.replace(seed=int(seed)), measured.load())


def trained(variation: Variation, model: str, fast: Recipe, data: Dataset) -> Result:
    """Train a variation; return accuracies of the test images and processor seconds for each training image."""
    chosen = fast.replace(**variation.settings).resolved("cross-entropy", data)
    height, width, channels = data.train.images.shape[1:]
    preprocess = Preprocess(height, width, channels).with_power_sums(data.train.power_sums())
    policy = parse(chosen.augment)
    batches = Loader(
        data.train,
        preprocess,
        chosen.batch_size,
        chosen.seed,
        policy if policy.is_active else None,
        classes=len(data.classes),
    )
    with seeding.scoped(chosen.seed, "weights"):
        network = variation.build(model, len(data.classes), (channels, height, width), some_images(batches))
    training = Training(network, batches, chosen)
    variation.training(training)
    began = time.process_time()
    samples = sum(step.samples for step in training)
    seconds = time.process_time() - began
    batches.close()
    assert data.test is not None
    accuracies = {
        kind: score(training.model, data.test, preprocess, tta=tta).accuracy
        for kind, tta in (("alone", "none"), ("views", chosen.tta))
    }
    return {**accuracies, "seconds": seconds / samples}


def report(store: Store) -> str:
    """Table of all variations, in Markdown."""
    base = store.rounds(BASE.name)
    rows = [_row(name, store.rounds(name), base) for name in NAMES if store.rounds(name)]
    made: dict[str, Any] = store.header["recipe"]
    title = f"{store.header['model']} on {store.header['measured']}, {made['epochs']} epochs, {made['precision']}"
    title += f", at commit {' and '.join(store.commits)}" if store.commits else ""
    header = ["variation", "seeds", "image alone", "views averaged", "difference, points", "time"]
    return table(title, header, rows)


def _row(name: str, found: dict[str, Result], base: dict[str, Result]) -> list[str]:
    views, usual = ([each["views"] for each in results.values()] for results in (found, base))
    times = (statistics.median(each["seconds"] for each in results.values()) for results in (found, base))
    share = next(times) / next(times)
    return [
        name,
        str(len(found)),
        percent(statistics.mean(each["alone"] for each in found.values())),
        percent(statistics.mean(views)),
        NOTHING if found == base else _difference(views, usual),
        number(share),
    ]


def _difference(views: list[float], usual: list[float]) -> str:
    """Format the difference of the means in points, with its 95 % confidence interval."""
    difference = 100 * (statistics.mean(views) - statistics.mean(usual))
    if min(len(views), len(usual)) < 2:
        return f"{difference:+.2f}"
    interval = stats.ttest_ind(views, usual, equal_var=False).confidence_interval()
    return f"{difference:+.2f} ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})"


if __name__ == "__main__":
    sys.exit(main())
