"""How fast augmentation is, and what share of a training step it takes.

    python benchmarks/augmentation.py [--threads 1] [--repeats 30] [MODEL ...]

The contract: random pixels; a policy is timed on images in memory, from the call to the uint8 result, draws included.
A step is the training loop's own, on 64 images, of the model's modern recipe without augmentation. Policy and step take
turns, so that whatever else the machine does slows both; two turns of each go first, untimed, and every figure is a
median. The share is the policy's time for 64 images in the step's: called for each batch by itself, and called for as
many batches at once as have a million values, which makes the same images.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from striate import models
from striate.augmentation import parse
from striate.data import Split
from striate.data.batches import Batches
from striate.data.workers import cores
from striate.preprocess import Preprocess
from striate.runs.environment import processor
from striate.training import Training, recipe

POLICIES = ("flip", "shift", "lighting", "flip,shift,lighting", "lenet5", "alexnet", "trivial", "mixup", "cutmix")
SIZES = ((64, 28, 1), (1024, 28, 1), (64, 224, 3))
SHARED = "flip,shift,lighting"
BATCH = 64
MOST_VALUES = 2**20
UNTIMED = 2


def main() -> None:
    """Print a table of policies, and one of models."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("models", nargs="*", default=["mlp", "lenet5"], metavar="MODEL")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--repeats", type=int, default=30)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    print(f"{processor()}, {chosen.threads} of {cores()} cores, PyTorch {torch.__version__}")
    print(f"median of {chosen.repeats}\n")
    titles = [f"{count} × {side}×{side}×{channels}" for count, side, channels in SIZES]
    print(f"{'images/s':<22}" + "".join(f"{title:>18}" for title in titles))
    batches = [pixels(*size) for size in SIZES]
    for policy in POLICIES:
        rates = [len(images) / turns(chosen.repeats, varying(policy, images))[0] for images in batches]
        print(f"{policy:<22}" + "".join(f"{rate:>18,.0f}" for rate in rates), flush=True)
    print(f"\n{SHARED:<22}" + "".join(f"{title:>18}" for title in ("step", "one batch", "many at once")))
    for name in chosen.models:
        side = models.facts(name).image_size or 28
        images = pixels(BATCH, side, 1 if side < 64 else 3)
        many = max(1, MOST_VALUES // images.numel())
        step, one, all_at_once = turns(
            chosen.repeats,
            stepping(name, images),
            varying(SHARED, images),
            varying(SHARED, images.repeat(many, 1, 1, 1)),
        )
        label = f"{name} {side}×{side}×{images.shape[3]}"
        print(f"{label:<22}{step * 1e3:>15.2f} ms{one / step:>18.1%}{all_at_once / many / step:>18.1%}", flush=True)


def pixels(count: int, side: int, channels: int) -> torch.Tensor:
    """Random images: uint8 (count, side, side, channels)."""
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (count, side, side, channels), dtype=np.uint8))


def varying(text: str, images: torch.Tensor) -> Callable[[], object]:
    """A function that varies these images once."""
    policy, index, labels = parse(text).fitted(images), np.arange(len(images)), torch.arange(len(images)) % 10

    def vary() -> object:
        varied = policy(images, seed=0, epoch=0, index=index)
        return policy.mix(varied, labels, 10, seed=0, epoch=0, index=index) if policy.mixes else varied

    return vary


def stepping(name: str, images: torch.Tensor) -> Callable[[], object]:
    """A function that takes one step of training."""
    facts, side = models.facts(name), images.shape[1]
    chosen = recipe("modern", name).replace(augment="none", loss=facts.loss, batch_size=BATCH, epochs=10**6)
    preprocess = Preprocess(side, side, images.shape[3], mean=(0.5,) * images.shape[3], std=(0.5,) * images.shape[3])
    split = Split(images, torch.arange(len(images)) % 10)
    model = models.create(name, 10, images.shape[3], side)
    steps = iter(Training(model, Batches(split, preprocess, BATCH, seed=0), chosen))
    return lambda: next(steps)


def turns(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """The median seconds of each function, called in turn."""
    seconds: list[list[float]] = [[] for _ in functions]
    for turn in range(UNTIMED + repeats):
        for function, times in zip(functions, seconds, strict=True):
            started = time.perf_counter()
            function()
            if turn >= UNTIMED:
                times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds]


if __name__ == "__main__":
    main()
