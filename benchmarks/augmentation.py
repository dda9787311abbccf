"""Speed of augmentation, and its share of a training step.

    python benchmarks/augmentation.py [--threads 1] [--repeats 30] [MODEL | MODEL@SIDE ...]

The contract: random pixels; a policy is timed on images in memory, from the call to the uint8 result, draws included.
A step is the training loop's own, of the model's modern recipe without augmentation. Policy and step alternate; the
first two rounds are untimed, and every figure is a median. Time is processor time, summed over threads, so that other
load counts little. The share is the policy's time for a batch, relative to the step's: with each batch augmented by
itself, and with several augmented at once as in training, which gives the same images.
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
from striate.data.loader import Loader
from striate.hardware import cores, processor
from striate.preprocess import Preprocess
from striate.training import Training, recipe

POLICIES = ("flip", "shift", "lighting", "flip,shift,lighting", "lenet5", "alexnet", "trivial", "mixup", "cutmix")
SIZES = ((64, 28, 1), (1024, 28, 1), (64, 224, 3))
SHARED = "flip,shift,lighting"
MODELS = ("mlp", "lenet5_modern", "fashion_cnn", "alexnet", "googlenet", "resnet18", "resnet18@224")
LARGE = 64  # a side from which on images are in colour and come in smaller batches
UNTIMED = 2
ENOUGH = 60.0  # seconds after which slow steps are not repeated further


def main() -> None:
    """Print a table of policies, and one of models."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
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
        rates = [len(images) / timed(chosen.repeats, augmenting(policy, images))[0] for images in batches]
        print(f"{policy:<22}" + "".join(f"{rate:>18,.0f}" for rate in rates), flush=True)
    print(f"\n{SHARED:<34}" + "".join(f"{title:>18}" for title in ("step", "batch by batch", "as in training")))
    for text in chosen.models:
        name, _, given = text.partition("@")
        side = int(given or 28)
        batch_size, channels = (16, 3) if side >= LARGE else (64, 1)
        images = pixels(batch_size, side, channels)
        training = trainer(name, images)
        together, steps = training.batches.together, iter(training)
        step, one, shared = timed(
            chosen.repeats,
            lambda steps=steps: next(steps),
            augmenting(SHARED, images),
            augmenting(SHARED, images.repeat(together, 1, 1, 1)),
        )
        label = f"{name}, {batch_size} × {side}×{side}×{channels}"
        print(f"{label:<34}{step * 1e3:>15,.2f} ms{one / step:>18.2%}{shared / together / step:>18.2%}", flush=True)


def pixels(count: int, side: int, channels: int) -> torch.Tensor:
    """Random images: uint8 (count, side, side, channels)."""
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (count, side, side, channels), dtype=np.uint8))


def augmenting(text: str, images: torch.Tensor) -> Callable[[], object]:
    """Function that augments these images once."""
    policy, index, labels = parse(text).fitted(images), np.arange(len(images)), torch.arange(len(images)) % 10

    def augment() -> object:
        augmented = policy(images, seed=0, epoch=0, index=index)
        return policy.mix(augmented, labels, 10, seed=0, epoch=0, index=index) if policy.mixes else augmented

    return augment


def trainer(name: str, images: torch.Tensor) -> Training:
    """Endless training of a model on these images, which form one batch."""
    facts, side = models.facts(name), images.shape[1]
    chosen = recipe("modern", name).replace(augment="none", loss=facts.loss, batch_size=len(images), epochs=10**6)
    preprocess = Preprocess(side, side, images.shape[3], mean=(0.5,) * images.shape[3], std=(0.5,) * images.shape[3])
    batches = Loader(Split(images, torch.arange(len(images)) % 10), preprocess, len(images), seed=0)
    return Training(models.create(name, 10, images.shape[3], side), batches, chosen)


def timed(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function, called alternately."""
    seconds: list[list[float]] = [[] for _ in functions]
    began = time.monotonic()
    for turn in range(UNTIMED + repeats):
        for function, times in zip(functions, seconds, strict=True):
            started = time.process_time()
            function()
            if turn >= UNTIMED:
                times.append(time.process_time() - started)
        if turn >= UNTIMED and time.monotonic() - began > ENOUGH:
            break
    return [statistics.median(times) for times in seconds]


if __name__ == "__main__":
    main()
