"""Verification of an exported file: its answers and its speed, beside those of the network it was made of."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor

from striate.data.lazy import Images
from striate.errors import ExportError
from striate.evaluation.metrics import wilson_interval
from striate.evaluation.samples import Samples
from striate.inference import best_class
from striate.inference.exported_file import Input, Measured
from striate.preprocess import Preprocess
from striate.resizing import picture_of, resized_by_pillow
from striate.runs import Trained
from striate.units import percent

LEAST_AGREEMENT = 0.999
LARGEST_GAP = 1e-3  # between logits, as a share of the largest
MADE_UP = 64  # pictures, where no others are at hand
SIZES = (0.5, 3.0)  # of their sides, as multiples of the input's
BATCH = 64  # images of the throughput
_REPEATS = 7  # of what is timed, after one that is not


@dataclass(frozen=True)
class Questions:
    """Pictures to ask a network and its exported file about.

    Args:
        pixels: as the network gets them, uint8 (N, height, width, channels).
        pictures: the same, once each, as the file gets them.
        labels: positions in the network's classes, int64 (N,), if they are known.
        split: which split of the data they are; empty if they are made up.
    """

    pixels: Images
    pictures: Iterable[np.ndarray]
    labels: Tensor | None = None
    split: str = ""

    @classmethod
    def of_samples(cls, samples: Samples, preprocess: Preprocess, kind: Input) -> "Questions":
        """Ask about images that the network was not trained on."""
        pixels = samples.split.images
        pictures = samples.pictures(preprocess) if kind == "image" else _each(pixels)
        return cls(pixels, pictures, samples.split.labels, samples.name)

    @classmethod
    def made_up(cls, preprocess: Preprocess, kind: Input) -> "Questions":
        """Ask about random patterns of several sizes; equal calls make equal ones."""
        random = np.random.default_rng(0)
        made = [_pattern(preprocess, random) for _ in range(MADE_UP)]
        pixels = torch.from_numpy(np.stack([preprocess.conform(picture) for picture in made]))
        return cls(pixels, made if kind == "image" else _each(pixels))


@dataclass(frozen=True)
class Agreement:
    """Comparison of a file's answers with those of the network it was made of.

    Args:
        n: of how many images.
        share: of the images to which both give the same class.
        max_difference: between two logits.
        largest: the largest absolute logit.
        accuracy, interval: of the file, with its 95 % interval (Wilson), if labels are known.
    """

    n: int
    share: float
    max_difference: float
    largest: float
    accuracy: float | None
    interval: tuple[float, float] | None

    def check(self, name: str) -> None:
        """Refuse a file that answers otherwise.

        Made-up pictures belong to no class, and a level's rounding may decide between two: there the logits count.

        Raises:
            ExportError: if classes differ for more than one image in a thousand, or on made-up pictures logits by
                more than a thousandth of the largest.
        """
        if self.accuracy is None:
            fits = self.max_difference <= LARGEST_GAP * self.largest
        else:
            fits = self.share >= LEAST_AGREEMENT
        if not fits:
            raise ExportError(
                f"as a file, {name} gives the same class as before for {percent(self.share)} of {self.n:,} images, "
                f"less than {percent(LEAST_AGREEMENT, 1)}, or other logits: they differ by up to "
                f"{self.max_difference:.3g}, the largest being {self.largest:.3g}. The file is not kept."
            )

    def check_loss(self, name: str, own: Measured | None, most: float) -> None:
        """Refuse an int8 file that is less accurate than the network by more than `most` percentage points.

        Raises:
            ExportError: saying both accuracies.
        """
        if own is None or self.accuracy is None:
            return
        if 100 * (own.accuracy - self.accuracy) > most:
            raise ExportError(
                f"as int8, {name} has an accuracy of {percent(self.accuracy)} on {self.n:,} images, and of "
                f"{percent(own.accuracy)} before: more than {most:g} points are lost. The file is not kept; --max-loss "
                "allows more."
            )


def answered(trained: Trained, questions: Questions) -> Tensor:
    """Logits of the network itself, float32 (N, classes), for comparison.

    Raises:
        ExportError: if they are the same for all images, or not finite: then nothing could be told from equal answers.
    """
    logits = trained.logits(questions.pixels, "cpu", tta="none")
    if not bool(logits.isfinite().all()):
        raise ExportError(f"{trained.name} gives logits that are not finite: there is nothing to compare a file with.")
    if len(logits) > 1 and not bool((logits != logits[0]).any()):
        raise ExportError(
            f"{trained.name} gives all images the same logits, so no file could be verified: train it first."
        )
    return logits


def measured(logits: Tensor, questions: Questions) -> Measured | None:
    """Measure the accuracy of logits, if labels are known."""
    if questions.labels is None:
        return None
    right, n = int((_best(logits) == questions.labels).sum()), len(logits)
    return Measured(accuracy=right / n, interval=wilson_interval(right, n), n=n, split=questions.split)


def compared(logits: Tensor, questions: Questions, expected: Tensor) -> Agreement:
    """Compare a file's logits with the network's, both float32 (N, classes)."""
    found = measured(logits, questions)
    return Agreement(
        n=len(logits),
        share=float((_best(logits) == _best(expected)).double().mean()),
        max_difference=float((logits - expected).abs().max()),
        largest=float(expected.abs().max()),
        accuracy=found.accuracy if found else None,
        interval=found.interval if found else None,
    )


def speeds(answer: Callable[[Tensor], object], pixels: Tensor) -> tuple[float, float]:
    """Measure the milliseconds for one image and the images a second of a batch of 64: medians of seven.

    Args:
        answer: a function of pixels, uint8 (n, height, width, channels).
        pixels: an image or more, which are repeated.
    """
    many = pixels.repeat(-(-BATCH // len(pixels)), 1, 1, 1)[:BATCH].contiguous()
    return 1000 * _seconds(answer, many[:1]), BATCH / _seconds(answer, many)


def _seconds(answer: Callable[[Tensor], object], pixels: Tensor) -> float:
    taken = []
    for _ in range(1 + _REPEATS):
        begun = time.perf_counter()
        answer(pixels)
        taken.append(time.perf_counter() - begun)
    return median(taken[1:])


def _each(images: Images) -> Iterable[np.ndarray]:
    return (image for part in images.split(BATCH) for image in part.numpy())


def _pattern(preprocess: Preprocess, random: np.random.Generator) -> np.ndarray:
    """A smooth random picture: uint8 (h, w, channels)."""
    width, height = (round(side * random.uniform(*SIZES)) or 1 for side in (preprocess.width, preprocess.height))
    cells = random.integers(0, 256, (*random.integers(2, 12, 2), preprocess.channels), dtype=np.uint8)
    return resized_by_pillow(picture_of(cells), width, height, "bicubic")


def _best(logits: Tensor) -> Tensor:
    return best_class(logits)
