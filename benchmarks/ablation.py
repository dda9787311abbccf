"""Ablation of quicknet and of the recipe `fast` on Fashion-MNIST: one change at a time.

    python -m benchmarks.ablation [--model quicknet_s] [--epochs 2] [--seeds 3] [--precision float32]
                                  [--only NAME …] [--out FILE] [--show]

The contract: each variation changes one thing (`variations.py`) and is trained with the same seeds; as many at once as
there are cores, each with one thread. Accuracy is that of the test images, of each by itself and averaged over the
recipe's views. Differences are of the latter, with a 95 % interval (Welch). Time is processor time for a training
image, as a share of the unchanged network's. After Ctrl-C or a crash the same command continues.
"""

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from scipy import stats

import striate
from benchmarks import machine
from benchmarks.store import Result, Store
from benchmarks.tables import NOTHING, number, percent, table
from benchmarks.variations import BASE, VARIATIONS, Variation, some_images
from striate import seeding
from striate.augmentation import parse
from striate.data import Dataset
from striate.data.loader import Loader
from striate.errors import StriateError, unknown
from striate.files import write_atomic
from striate.hardware import cores
from striate.inference import score
from striate.preprocess import Preprocess
from striate.training import Recipe, Training, recipe

DATA = "fashion-mnist"
NAMES = {each.name: each for each in VARIATIONS}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--model", default="quicknet_s", help="a quicknet")
    options.add_argument("--epochs", type=int, default=2, help="of each training")
    options.add_argument("--seeds", type=int, default=3, help="of each variation")
    options.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of each training")
    options.add_argument("--only", nargs="+", default=list(NAMES), help="some of the variations, by name")
    options.add_argument("--out", type=Path, help="the results; runs/bench/ablation-MODEL-EPOCHS.json if not given")
    options.add_argument("--show", action="store_true", help="measure nothing, print the table of the file")
    chosen = options.parse_args(arguments)
    path = chosen.out or Path("runs/bench") / f"ablation-{chosen.model}-{chosen.epochs}.json"
    try:
        if wrong := [name for name in chosen.only if name not in NAMES]:
            raise unknown("variation", wrong[0], NAMES)
        if not chosen.show:
            fast = recipe("fast", chosen.model).replace(epochs=chosen.epochs, precision=chosen.precision)
            measure(path, chosen.model, fast, chosen.seeds, [BASE.name, *chosen.only])
        text = report(Store.opened(path))
        write_atomic(path.with_suffix(".md"), text.encode())
    except StriateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    return 0


def measure(path: Path, model: str, fast: Recipe, seeds: int, names: list[str]) -> None:
    """Train every variation that the file lacks, seed by seed, and keep each result when it is there."""
    header = {"machine": machine.machine(1), "model": model, "recipe": fast.model_dump()}
    store = Store(path, header)
    keys = [f"{name}/{seed}" for seed in range(seeds) for name in dict.fromkeys(names)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_trained, model, fast, key): key for key in keys if not store.has(key)}
        try:
            for done in as_completed(waiting):
                result = store.measure(waiting[done], done.result)
                print(f"{waiting[done]}: {result['views']:.2%}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or all that wait would still be trained
            raise


def _trained(model: str, fast: Recipe, key: str) -> Result:
    """Run one training in a process of its own."""
    torch.set_num_threads(1)
    name, _, seed = key.rpartition("/")
    at = {"commit": machine.commit()}
    return at | trained(NAMES[name], model, fast.replace(seed=int(seed)), striate.load(DATA))


def trained(variation: Variation, model: str, fast: Recipe, data: Dataset) -> Result:
    """Train a variation; return test accuracies and processor seconds for each training image."""
    chosen = fast.replace(**variation.settings).resolved("cross-entropy", data)
    height, width, channels = data.train.images.shape[1:]
    preprocess = Preprocess(height, width, channels).with_power_sums(data.train.power_sums())
    policy = parse(chosen.augment)
    batches = Loader(
        data.train, preprocess, chosen.batch_size, chosen.seed, policy if policy.is_active else None, classes=10
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
    title = f"{store.header['model']} on {DATA}, {made['epochs']} epochs, {made['precision']}"
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
