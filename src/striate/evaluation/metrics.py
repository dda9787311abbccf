"""Metrics: confidence interval, class scores, confusion matrix. Those of probabilities are in `calibration.py`."""

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from striate.errors import ArgumentError


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval (1927) of an accuracy, for a given confidence.

    Unlike the usual p ± 1.96·√(p(1−p)/n) it stays inside [0, 1] and keeps its width where all or none are right.

    Raises:
        ArgumentError: unless 0 ≤ correct ≤ n, n ≥ 1 and 0 < confidence < 1.
    """
    if not (0 <= correct <= n and n >= 1 and 0 < confidence < 1):
        raise ArgumentError(f"no interval for {correct} right of {n} at confidence {confidence}.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, shrink = correct / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the two ends the formula gives 0 and 1 exactly; rounding must not take that away.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class. `None` where undefined, as the precision of a class that was never predicted is.

    Args:
        name: the class.
        precision: of the images predicted as this class, the share that is.
        recall: of the images of this class, the share predicted so.
        f1: the harmonic mean of both.
        support: how many images of this class there are.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        return {"class": values.pop("name"), **values}


def class_scores(labels: Tensor, predicted: Tensor, classes: tuple[str, ...]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every class, from int64 (N,) and int64 (N,)."""
    matrix = _counts(labels, predicted, len(classes))
    columns = zip(classes, matrix.diagonal().tolist(), matrix.sum(0).tolist(), matrix.sum(1).tolist(), strict=True)
    return tuple(
        ClassScore(name, _share(right, taken), _share(right, has), _share(2 * right, taken + has), has)
        for name, right, taken, has in columns
    )


def confusion_matrix(labels: Tensor, predicted: Tensor, classes: int) -> list[list[int]]:
    """Confusion matrix: number of images of each class (rows) predicted as each class (columns)."""
    matrix: list[list[int]] = _counts(labels, predicted, classes).tolist()
    return matrix


def _counts(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
