"""Results as aligned text for a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from striate.drawing import aligned, percent

if TYPE_CHECKING:
    from striate.evaluation.measure import Evaluation
    from striate.evaluation.metrics import ClassScore
    from striate.evaluation.prediction import Prediction

MOST_CLASSES = 20


def evaluation_text(evaluation: Evaluation) -> str:
    """Headline numbers, a table of classes, and the confusion matrix where it fits a screen."""
    low, high = evaluation.interval
    numbers = [
        ("accuracy", percent(evaluation.accuracy), f"95 % interval {percent(low)} to {percent(high)}"),
        ("top-1 error", percent(evaluation.top1_error), ""),
        *([("top-5 error", percent(evaluation.top5_error), "")] if len(evaluation.classes) > 5 else []),
        ("loss", f"{evaluation.loss:.4f}", "cross-entropy"),
        ("calibration error", percent(evaluation.calibration_error), "confidence against accuracy"),
    ]
    classes: list[tuple[str, ...]] = [("class", "images", "precision", "recall", "F1")]
    listed, left_out = _listed(evaluation)
    for each in listed:
        classes.append((each.name, str(each.support), *(percent(v, 1) for v in (each.precision, each.recall, each.f1))))
    title = f"{evaluation.source}, {evaluation.split}: {evaluation.n:,} images"
    return "\n\n".join([title, aligned(numbers, "<><"), aligned(classes, "<>>>>") + left_out, _confusion(evaluation)])


def most_confused(evaluation: Evaluation, most: int = 10) -> list[tuple[str, str, int]]:
    """The commonest mistakes: true class, predicted class, how many images."""
    classes = evaluation.classes
    cells = [
        (count, true, predicted)
        for true, row in enumerate(evaluation.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    cells.sort(key=lambda cell: (-cell[0], cell[1], cell[2]))
    return [(classes[true], classes[predicted], count) for count, true, predicted in cells[:most]]


def predictions_text(predictions: Sequence[Prediction]) -> str:
    """One line an image: path, class, probability, and what else it could be."""
    rows = []
    for each in predictions:
        others = [f"{name} {percent(p, 1)}" for name, p in each.probabilities.items() if name != each.label]
        rows.append((each.path, each.label, percent(each.probability, 1), " · ".join(others)))
    return aligned(rows, "<<><")


def _listed(evaluation: Evaluation) -> tuple[list[ClassScore], str]:
    """The classes worth a line, and what to say of the others: all of a few, the worst of many."""
    classes = sorted(evaluation.per_class, key=lambda each: 2.0 if each.recall is None else each.recall)
    if len(classes) <= MOST_CLASSES:
        return list(evaluation.per_class), ""
    return classes[:10], f"\nthe 10 of {len(classes)} classes with the lowest recall; to_dict() and --json list all"


def _confusion(evaluation: Evaluation) -> str:
    classes = evaluation.classes
    if len(classes) > MOST_CLASSES or sum(min(cell_len(name), 6) + 2 for name in classes) > 100:
        pairs = [(true, "taken for", predicted, str(count)) for true, predicted, count in most_confused(evaluation)]
        return "most confused\n" + aligned(pairs, "<<<>") if pairs else "no mistakes"
    head = ("true \\ predicted", *(_short(name) for name in classes))
    rows = [
        (name, *(str(n) if n else "·" for n in row)) for name, row in zip(classes, evaluation.confusion, strict=True)
    ]
    return aligned([head, *rows], "<" + ">" * len(classes))


def _short(name: str, most: int = 6) -> str:
    while cell_len(name) > most:
        name = name[:-2] + "…" if name.endswith("…") else name[:-1] + "…"
    return name
