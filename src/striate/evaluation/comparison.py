"""What `compare` finds: a row for each model, a pair for every two, and all of it as a comparison."""

from dataclasses import dataclass
from typing import Any

from striate.evaluation.comparison_text import comparison_text
from striate.evaluation.significance import Difference

LEVEL = 0.05  # the chance of even one false "real" among all pairs that a comparison accepts


@dataclass(frozen=True)
class Row:
    """One model, over its seeds. Fractions are in [0, 1]; means are over the seeds.

    Args:
        name: the model, as it was asked for.
        seeds: those it was trained with.
        accuracies: of each seed, in their order.
        accuracy: their mean.
        interval: where the mean over all seeds lies with 95 % confidence (Student); of a single seed, where the
            accuracy on other such images lies (Wilson).
        top1_error, top5_error: means.
        parameters: how many are trained.
        multiply_adds: for one image; `None` where unknown.
        train_seconds, images_per_second: means; `None` where unknown.
        curve: mean seconds of training so far and mean accuracy on the val split, after each epoch that all seeds have.
    """

    name: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    accuracy: float
    interval: tuple[float, float]
    top1_error: float
    top5_error: float
    parameters: int
    multiply_adds: int | None
    train_seconds: float | None
    images_per_second: float | None
    curve: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.name,
            "seeds": list(self.seeds),
            "accuracies": list(self.accuracies),
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "train_seconds": self.train_seconds,
            "images_per_second": self.images_per_second,
            "curve": [list(point) for point in self.curve],
        }


@dataclass(frozen=True)
class Pair:
    """Two models, the one with the higher accuracy first.

    Args:
        better, other: their names.
        difference: how much better the first is on these images, see `significance.Difference`.
        corrected: the p-value corrected for the number of pairs (Holm 1979).
    """

    better: str
    other: str
    difference: Difference
    corrected: float

    @property
    def real(self) -> bool:
        """Whether the difference is more than luck, at 5 % over all pairs of the comparison together."""
        return self.corrected <= LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "better": self.better,
            "other": self.other,
            "difference": self.difference.mean,
            "interval": list(self.difference.interval),
            "p": self.difference.p,
            "p_corrected": self.corrected,
            "real": self.real,
            "seeds_answered_for": self.difference.seeds,
        }


@dataclass(frozen=True)
class Comparison:
    """Models side by side, made by `compare`.

    Args:
        source, split, images: which images, and how many.
        classes: the names of the classes.
        rows: the models, best first.
        pairs: every two of them, in the rows' order.
        failures: what could not be trained, and why.
        notes: what to know, in sentences.
    """

    source: str
    split: str
    images: int
    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    failures: dict[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "data": self.source,
            "split": self.split,
            "n": self.images,
            "classes": list(self.classes),
            "models": [row.to_dict() for row in self.rows],
            "pairs": [pair.to_dict() for pair in self.pairs],
            "failures": self.failures,
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """Tables for people."""
        return comparison_text(self)
