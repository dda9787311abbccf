"""A comparison in words and aligned columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.drawing import aligned, duration, minus, percent

if TYPE_CHECKING:
    from striate.evaluation.comparison import Comparison, Pair, Row


def comparison_text(comparison: Comparison) -> str:
    """A table of the models, one of their differences, what failed, and how all of it was found."""
    title = f"{comparison.source}, {comparison.split}: {comparison.images:,} images, {len(comparison.classes)} classes"
    parts = [title, _models(comparison)]
    if comparison.pairs:
        parts.append(_differences(comparison))
    parts += [f"{name} failed: {reason}" for name, reason in comparison.failures.items()]
    return "\n\n".join([*parts, " ".join(method(comparison))])


def method(comparison: Comparison) -> list[str]:
    """How intervals and verdicts were found, in sentences."""
    seeds = [len(row.seeds) for row in comparison.rows]
    said = []
    if max(seeds) > 1:
        said.append("Accuracy is the mean over the seeds; its interval is Student's, over the seeds, on these images.")
    if min(seeds) == 1:
        who = "Every model" if max(seeds) == 1 else "Where a model"
        said.append(f"{who} was trained once{':' if max(seeds) == 1 else ','} its interval is Wilson's, over images.")
    if any(pair.difference.seeds for pair in comparison.pairs):
        said.append(
            "A difference is called real if it passes both an exact sign-flip test over the test images and a t test "
            "that adds what varies from seed to seed, at 5 % for all pairs together (Holm)."
        )
    if any(not pair.difference.seeds for pair in comparison.pairs):
        test = "McNemar's exact test" if max(seeds) == 1 else "the exact sign-flip test over the images alone"
        said.append(
            f"With one training of a model, {test} decides, at 5 % for all pairs together (Holm): its verdict is on "
            "these trained networks, and another seed may turn it round."
        )
    if comparison.pairs:
        said.append("Luck in the choice of the training images, the same for all, is not answered for.")
    return said


def sentence(pair: Pair) -> str:
    """One pair in a sentence: "a is better than b: +0.80 points (95 % 0.50 to 1.10), p < 0.001"."""
    numbers = f"{points(pair.difference.mean)} points (95 % {_between(pair)}), {p_value(pair.corrected)}"
    if pair.real:
        return f"{pair.better} is better than {pair.other}: {numbers}"
    return f"{pair.better} and {pair.other}: no real difference shown, {numbers}"


def points(fraction: float) -> str:
    """0.0081 as "+0.81": percentage points with their sign."""
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
                "real" if pair.real else "could be luck",
            ),
        )
        for pair in comparison.pairs
    ]
    return aligned([head, *rows], "<<>>><")
