"""Metrics of probabilities: calibration error with its interval, reliability by confidence, and prediction sets."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from striate import seeding
from striate.evaluation.metrics import wilson_interval

BINS = 15
RESAMPLES, CHUNK = 1000, 2**22  # drawn images at a time


@dataclass(frozen=True)
class Bin:
    """The images whose confidence, the probability of their most probable class, is in (low, high].

    Args:
        low, high: the bin's limits.
        images: how many there are.
        confidence: their mean confidence.
        accuracy: the share of them whose most probable class is the right one.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


def reliability(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> list[Bin]:
    """Confidence and accuracy in bins of equal width, without those that hold no image (Guo et al. 2017, figure 1).

    Args:
        probabilities: float (N, classes), rows that sum to 1, N at least 1.
        labels: int64 (N,).
        bins: how many.
    """
    confidence, right, place = _binned(probabilities, labels, bins)
    return [
        Bin(
            number / bins, (number + 1) / bins, int(inside.sum()), float(confidence[inside].mean()),
            float(right[inside].mean()),
        )
        for number in range(bins)
        if bool((inside := place == number).any())
    ]  # fmt: skip


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error, in [0, 1] (Guo et al. 2017, equation 3).

    Images are sorted into `bins` of equal width by the probability of their most probable class; the result is the mean
    over all images of |accuracy − mean confidence| of their bin.

    Args:
        probabilities: float (N, classes), rows that sum to 1, N at least 1.
        labels: int64 (N,).
        bins: bin m, from 1, holds the confidences in ((m − 1) / bins, m / bins].
    """
    confidence, right, place = _binned(probabilities, labels, bins)
    return float(_sums(right - confidence, place, bins).abs().sum() / len(labels))


def calibration_error_interval(
    probabilities: Tensor, labels: Tensor, bins: int = BINS, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the expected calibration error over such images.

    Resampled images make the error larger, as few images do, so the interval is the basic one, which takes that off:
    2 × error − quantile (Davison and Hinkley 1997, section 5.2), from 1,000 resamples.

    Args:
        probabilities, labels, bins: as in `expected_calibration_error`.
        seed: of the resamples.
    """
    confidence, right, place = _binned(probabilities, labels, bins)
    gaps, count = right - confidence, len(labels)
    if not bool(gaps.isfinite().all()):
        return math.nan, math.nan
    generator, errors = seeding.generator(seed, "bootstrap"), []
    for rows in torch.arange(RESAMPLES).split(max(1, CHUNK // count)):
        drawn = torch.randint(count, (len(rows), count), generator=generator)
        summed = torch.zeros(len(rows), bins, dtype=torch.float64).scatter_add_(1, place[drawn], gaps[drawn])
        errors.append(summed.abs().sum(dim=1) / count)
    small, large = torch.cat(errors).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    error = float(_sums(gaps, place, bins).abs().sum() / count)
    return max(0.0, 2 * error - large), min(1.0, max(0.0, 2 * error - small))


def error_by_chance(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """The calibration error that probabilities exactly right would show on so few images, on average.

    In each bin the number of right predictions is nearly normal, with the variance Σ p (1 − p).
    """
    confidence, _, place = _binned(probabilities, labels, bins)
    variance = _sums(confidence * (1 - confidence), place, bins).clamp(min=0)
    return float((2 / math.pi * variance).sqrt().sum() / len(labels))


@dataclass(frozen=True)
class SetScore:
    """Coverage of prediction sets, the share that holds the right class, and their size.

    Args:
        asked: the coverage that was asked for.
        coverage: the share of images whose set holds the right class.
        interval: where it lies on other such images with 95 % confidence (Wilson).
        mean_size: classes in a set, on average.
        single: the share of images whose set is one class.
    """

    asked: float
    coverage: float
    interval: tuple[float, float]
    mean_size: float
    single: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "interval": list(self.interval)}


def set_score(sets: Sequence[Sequence[int]], labels: Tensor, asked: float) -> SetScore:
    """Score prediction sets, a list of classes for each image, against labels, int64 (N,), N at least 1."""
    held = sum(label in classes for label, classes in zip(labels.tolist(), sets, strict=True))
    sizes = [len(classes) for classes in sets]
    count = len(sizes)
    return SetScore(
        asked, held / count, wilson_interval(held, count), sum(sizes) / count, sum(size == 1 for size in sizes) / count
    )


def _binned(probabilities: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each image's confidence, whether it is right, both float64 (N,), and the number of its bin, int64 (N,)."""
    confidence, predicted = probabilities.double().max(dim=1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    return confidence, (predicted == labels).double(), place


def _sums(values: Tensor, place: Tensor, bins: int) -> Tensor:
    """The sum of the values in each bin: float64 (bins,)."""
    return torch.zeros(bins, dtype=torch.float64).index_add(0, place, values)
