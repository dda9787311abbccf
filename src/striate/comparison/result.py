"""Result of a comparison: a row for each model, a pair for every two, and its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.comparison.significance import Difference
from striate.units import aligned, duration, minus, percent

LEVEL = 0.05  # significance level: the accepted chance of even one false "significant" among all pairs of a comparison


@dataclass(frozen=True)
class Row:
    """One model, over its seeds. Fractions are in [0, 1]; means are over the seeds.

    Args:
        name: the model, as it was requested.
        seeds: those it was trained with.
        accuracies: of each seed, in their order.
        accuracy: their mean.
        interval: 95 % confidence interval of the mean over all seeds (Student); of a single seed, of the accuracy on
            other such images (Wilson).
        top1_error, top5_error: means.
        parameters: how many are trained.
        multiply_adds: for one image; `None` where unknown.
        train_seconds, images_per_second: means; `None` where unknown.
        curve: mean seconds of training so far and mean accuracy on the val split, after each epoch that all seeds have.

    >>> (row,) = striate.compare([run]).rows
    >>> row.name, row.seeds, row.accuracies == (row.accuracy,)
    ('mlp', (0,), True)
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

    >>> two = {"trained": run.model(), "untrained": run.fresh_model()}
    >>> (pair,) = striate.compare(two, data, preprocess=run.preprocess).pairs
    >>> pair.better, pair.other, pair.corrected < 0.05
    ('trained', 'untrained', True)
    """

    better: str
    other: str
    difference: Difference
    corrected: float

    @property
    def real(self) -> bool:
        """True if the difference is significant, at 5 % over all pairs of the comparison together."""
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
    """Comparison of models on the same images, made by `compare`.

    Args:
        source, split, images: which images, and how many.
        classes: the names of the classes.
        rows: the models, best first.
        pairs: every two of them, in the rows' order.
        failures: what could not be trained, with the reasons.
        notes: remarks on the images, in sentences.

    >>> two = {"trained": run.model(), "untrained": run.fresh_model()}
    >>> comparison = striate.compare(two, preprocess=run.preprocess, data=data)
    >>> [row.name for row in comparison.rows]
    ['trained', 'untrained']
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
        """The comparison as tables for a terminal."""
        return comparison_text(self)


def comparison_text(comparison: Comparison) -> str:
    """Tables of the models and of their differences, the failures, and the statistical method."""
    title = f"{comparison.source}, {comparison.split}: {comparison.images:,} images, {len(comparison.classes)} classes"
    parts = [title, _models(comparison)]
    if comparison.pairs:
        parts.append(_differences(comparison))
    parts += [f"{name} failed: {reason}" for name, reason in comparison.failures.items()]
    return "\n\n".join([*parts, " ".join(method(comparison))])


def method(comparison: Comparison) -> list[str]:
    """The statistical method of intervals and verdicts, in sentences."""
    seeds = [len(row.seeds) for row in comparison.rows]
    sentences = []
    if max(seeds) > 1:
        sentences.append(
            "Accuracy is the mean over the seeds; its interval is Student's, over the seeds, on these images."
        )
    if min(seeds) == 1:
        who = "Every model" if max(seeds) == 1 else "Where a model"
        sentences.append(
            f"{who} was trained once{':' if max(seeds) == 1 else ','} its interval is Wilson's, over images."
        )
    if any(pair.difference.seeds for pair in comparison.pairs):
        sentences.append(
            "A difference is called real if it passes both an exact sign-flip test over the test images and a t test "
            "that adds the variance between seeds, at 5 % for all pairs together (Holm)."
        )
    if any(not pair.difference.seeds for pair in comparison.pairs):
        test = "McNemar's exact test" if max(seeds) == 1 else "the exact sign-flip test over the images alone"
        sentences.append(
            f"With one training of a model, {test} decides, at 5 % for all pairs together (Holm): its verdict is on "
            "these trained networks, and another seed may reverse it."
        )
    if comparison.pairs:
        sentences.append("The choice of the training images, the same for all models, is not accounted for.")
    return sentences


def sentence(pair: Pair) -> str:
    """One pair in a sentence: "a is better than b: +0.80 points (95 % 0.50 to 1.10), p < 0.001"."""
    numbers = f"{points(pair.difference.mean)} points (95 % {_between(pair)}), {p_value(pair.corrected)}"
    if pair.real:
        return f"{pair.better} is better than {pair.other}: {numbers}"
    return f"{pair.better} and {pair.other}: no significant difference, {numbers}"


def points(fraction: float) -> str:
    """A fraction as signed percentage points: 0.0081 as "+0.81"."""
    return minus(f"{100 * fraction:+.2f}")


def p_value(p: float) -> str:
    """A p-value as it is usually printed: "p < 0.001", "p = 0.012"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _between(pair: Pair) -> str:
    return " to ".join(points(bound).removeprefix("+") for bound in pair.difference.interval)


def _models(comparison: Comparison) -> str:
    top5 = len(comparison.classes) > 5
    head = ["model", "seeds", "accuracy", "95 % interval", "top-1 error", *(["top-5 error"] if top5 else [])]
    head += ["parameters", "multiply-adds", "training", "images/s"]
    return aligned([head, *(_cells(row, top5) for row in comparison.rows)], "<" + ">" * (len(head) - 1))


def _cells(row: Row, top5: bool) -> list[str]:
    low, high = row.interval
    errors = [percent(row.top1_error), *([percent(row.top5_error)] if top5 else [])]
    counts = [f"{row.parameters:,}", "–" if row.multiply_adds is None else f"{row.multiply_adds:,}"]
    speed = [
        "–" if row.train_seconds is None else duration(row.train_seconds),
        "–" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
    ]
    interval = f"{percent(low).removesuffix(' %')} to {percent(high)}"
    return [row.name, str(len(row.seeds)), percent(row.accuracy), interval, *errors, *counts, *speed]


def _differences(comparison: Comparison) -> str:
    head = ("better", "other", "points", "95 % interval", "p (Holm)", "")
    rows = [
        (
            *(pair.better, pair.other, points(pair.difference.mean), _between(pair)),
            *(
                p_value(pair.corrected).removeprefix("p = ").removeprefix("p "),
                "significant" if pair.real else "not significant",
            ),
        )
        for pair in comparison.pairs
    ]
    return aligned([head, *rows], "<<>>><")
