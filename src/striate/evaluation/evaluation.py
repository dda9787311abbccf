"""Evaluation of a network on labelled images: every number from one pass."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.cells import cell_len
from torch import Tensor, nn

from striate.augmentation.test_time import deciding, view_list
from striate.data import Dataset
from striate.evaluation.calibration import (
    SetScore,
    calibration_error_interval,
    error_by_chance,
    expected_calibration_error,
    set_score,
)
from striate.evaluation.metrics import (
    ClassScore,
    class_scores,
    confusion_matrix,
    wilson_interval,
)
from striate.evaluation.samples import Samples, network_and_data, samples_of
from striate.inference import UNCALIBRATED, Calibration, ExportedFile, best_class, score_of
from striate.inference.calibration import level_of
from striate.inference.exported_file import is_exported_file, opened_file
from striate.preprocess import Preprocess
from striate.runs import Run, Trained
from striate.types import Precision
from striate.units import aligned, finite, percent

MOST_CLASSES = 20


@dataclass(frozen=True)
class Evaluation:
    """Results of a network on n labelled images. Fractions are in [0, 1].

    Args:
        accuracy: the share of images whose most probable class is the right one.
        interval: where the accuracy on other such images lies with 95 % confidence (Wilson).
        top1_error, top5_error: the shares of images whose class is not the first, not among the first five.
        loss: cross-entropy in nats, of the calibrated probabilities if there are such.
        calibration_error: how far the probabilities are from being right that often (Guo et al. 2017, 15 bins).
        n, split, source: how many images, and which.
        classes: the network's, in the order of its outputs.
        per_class: precision, recall, F1 and number of images of each.
        confusion: how many images of each class (rows) were taken for each class (columns).
        notes: what to know about these images, a sentence each.
        tta: the test-time augmentation.
        calibration: how the logits became probabilities; `Calibration()` if the network was not calibrated.
        uncalibrated: the reason why not, a sentence; `None` if it was.
        coverage: how often prediction sets are to hold the right class.
        logits: float32 (N, classes).
        probabilities: float64 (N, classes).
        labels, predicted: int64 (N,), positions in `classes`.

    >>> evaluation = striate.evaluate(run)
    >>> evaluation.n, evaluation.accuracy > 0.7
    (359, True)
    >>> evaluation.per_class[3].name, sum(evaluation.confusion[3])
    ('3', 37)
    """

    accuracy: float
    interval: tuple[float, float]
    top1_error: float
    top5_error: float
    loss: float
    calibration_error: float
    n: int
    split: str
    source: str
    classes: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    confusion: list[list[int]]
    notes: tuple[str, ...] = ()
    tta: str = "none"
    calibration: Calibration = UNCALIBRATED
    uncalibrated: str | None = None
    coverage: float = 0.95
    logits: Tensor = field(default_factory=lambda: torch.empty(0, 0), repr=False, compare=False)
    probabilities: Tensor = field(default_factory=lambda: torch.empty(0, 0), repr=False, compare=False)
    labels: Tensor = field(default_factory=lambda: torch.empty(0), repr=False, compare=False)
    predicted: Tensor = field(default_factory=lambda: torch.empty(0), repr=False, compare=False)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images: each class counts the same, however many it has."""
        return mean(each.recall for each in self.per_class if each.recall is not None)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images or predictions; 0 for one that was never right."""
        return mean(each.f1 or 0.0 for each in self.per_class if each.support or each.precision is not None)

    @cached_property
    def calibration_error_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the calibration error (bootstrap over the images)."""
        return calibration_error_interval(self.probabilities, self.labels)

    @cached_property
    def error_before(self) -> float:
        """The calibration error of the network's own probabilities, without a temperature."""
        return expected_calibration_error(UNCALIBRATED.probabilities(self.logits), self.labels)

    @cached_property
    def error_before_interval(self) -> tuple[float, float]:
        """95 % confidence interval of `error_before`."""
        return calibration_error_interval(UNCALIBRATED.probabilities(self.logits), self.labels)

    @property
    def error_by_chance(self) -> float:
        """The calibration error that the same probabilities would show on so few images if they were exactly right."""
        return error_by_chance(self.probabilities, self.labels)

    @cached_property
    def sets(self) -> SetScore | None:
        """Coverage and size of the prediction sets; `None` if the network was not calibrated."""
        if not self.calibration.images:
            return None
        return set_score(self.calibration.sets(self.logits, self.coverage), self.labels, self.coverage)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not a finite number is `None`."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "loss": finite(self.loss),
            "calibration_error": finite(self.calibration_error),
            "calibration_error_interval": [finite(bound) for bound in self.calibration_error_interval],
            "calibration": self._calibration(),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "n": self.n,
            "split": self.split,
            "tta": self.tta,
            "per_class": [each.to_dict() for each in self.per_class],
            "confusion": self.confusion,
        }

    def _calibration(self) -> dict[str, Any] | None:
        if not self.calibration.images or self.sets is None:
            return None
        return {
            "temperature": self.calibration.temperature,
            "images": self.calibration.images,
            "source": self.calibration.source,
            "error_before": finite(self.error_before),
            "error_before_interval": [finite(bound) for bound in self.error_before_interval],
            "sets": self.sets.to_dict(),
        }

    def text(self) -> str:
        """The headline numbers, a table of classes and the confusion matrix, for terminals."""
        return evaluation_text(self)

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Evaluation({self.source}, {self.split}: accuracy {self.accuracy:.2%} of {self.n:,} images, "
            f"95 % interval {low:.2%} to {high:.2%})"
        )

    def _repr_html_(self) -> str:
        """The text, for notebooks."""
        return f"<pre>{html.escape(self.text())}</pre>"


def evaluate(
    run: Run | ExportedFile | str | Path | nn.Module,
    data: Any = None,
    *,
    device: str = "auto",
    model: nn.Module | None = None,
    tta: str | None = None,
    preprocess: Preprocess | None = None,
    coverage: float = 0.95,
    engine: str = "auto",
    precision: Precision = "float32",
) -> Evaluation:
    """Measure a network on labelled images it was not trained on.

    Args:
        run: a run or its folder, or a module from (N, C, H, W) to logits (N, classes); of a run not finished, the
            newest checkpoint is measured. Or a file from `striate.export`, which prepares the images itself.
        data: a data set, a source for `striate.load`, a pair (images, labels) of arrays or tensors, or a PyTorch
            data set; classes are matched by name. Without it, what the run's own data holds out.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.
        tta: test-time augmentation: "none", "flip", "shifts", "ten-crop", or several with commas, see
            `augmentation.views`. Without it, the run's recipe decides.
        preprocess: for a module, how images become its input. Modules from `Run.model` know it; for others without it,
            images are normalised as `striate.train` normalises them for that module, and a note says so.
        coverage: how often prediction sets are to hold the right class, a share in [0.5, 0.99].
        engine: "torch", "onnxruntime" or "openvino"; "auto" is PyTorch for a run, see `Trained.by`, and what an
            exported file is made for.
        precision: "float32", or "bfloat16" for products in it.

    Raises:
        ArgumentError: for an unknown test-time augmentation, engine or precision, another coverage, or a module without
            data.
        DataError: if there are no such images, or if classes are unknown to the run or missing in the data.
        CheckpointError: if the run has no usable weights.
        ShapeError: if a module's outputs are not as many as the classes.

    >>> striate.evaluate(run).n
    359
    >>> striate.evaluate(run.model(), (data.test.images[:50], data.test.labels[:50])).n
    50
    """
    view_list("none" if tta is None else tta)  # a mistake here shows before anything is read
    level_of(coverage)
    whole = not isinstance(data, Dataset)
    if is_exported_file(run):
        run = opened_file(run, engine, precision)
    trained, data = network_and_data(run, data, module=model, preprocess=preprocess)
    trained = trained.by(engine, device, precision)
    return measured(trained, samples_of(trained, data, whole), device, tta, coverage)


def measured(
    trained: Trained, samples: Samples, device: str = "auto", tta: str | None = None, coverage: float = 0.95
) -> Evaluation:
    """Evaluate a network on these samples, in their order."""
    labels, tta = samples.split.labels, trained.tta if tta is None else tta
    if trained.file is not None and trained.file.card.input == "image" and tta == "none":
        logits = torch.from_numpy(trained.file.answers(samples.pictures(trained.preprocess))[0])
    else:
        logits = trained.logits(samples.split.images, device, tta)
    calibration = trained.calibration(tta)
    score = score_of(logits, labels, calibration.temperature)
    predicted = best_class(logits)
    probabilities = calibration.probabilities(logits)
    return Evaluation(
        accuracy=score.accuracy,
        top1_error=score.top1_error,
        top5_error=score.top5_error,
        loss=score.loss,
        n=score.n,
        interval=wilson_interval(int((predicted == labels).sum()), len(labels)),
        calibration_error=expected_calibration_error(probabilities, labels),
        split=samples.name,
        source=samples.source,
        classes=trained.classes,
        per_class=class_scores(labels, predicted, trained.classes),
        confusion=confusion_matrix(labels, predicted, len(trained.classes)),
        notes=samples.notes + _views_note(tta),
        tta=tta,
        calibration=calibration,
        uncalibrated=trained.uncalibrated(tta),
        coverage=coverage,
        logits=logits,
        probabilities=probabilities,
        labels=labels,
        predicted=predicted,
    )


def _views_note(tta: str) -> tuple[str, ...]:
    if tta == "none":
        return ()
    views = view_list(tta)
    first = deciding(views)
    sooner = f"; over the heaviest {first} alone where the others can't change the class" if first < len(views) else ""
    return (f"Averaged over {len(views)} views of each image, {tta}{sooner}.",)


def evaluation_text(evaluation: Evaluation) -> str:
    """Format the headline numbers, a table of classes, and the confusion matrix where it fits a screen."""
    low, high = evaluation.interval
    numbers = [
        ("accuracy", percent(evaluation.accuracy), f"95 % interval {percent(low)} to {percent(high)}"),
        ("balanced accuracy", percent(evaluation.balanced_accuracy), "mean recall of the classes"),
        ("macro F1", percent(evaluation.macro_f1), "mean F1 of the classes"),
        ("top-1 error", percent(evaluation.top1_error), ""),
        *([("top-5 error", percent(evaluation.top5_error), "")] if len(evaluation.classes) > 5 else []),
        ("loss", f"{evaluation.loss:.4f}", "cross-entropy"),
        *_calibration_numbers(evaluation),
    ]
    classes: list[tuple[str, ...]] = [("class", "images", "precision", "recall", "F1")]
    listed, left_out = _listed(evaluation)
    for each in listed:
        classes.append((each.name, str(each.support), *(percent(v, 1) for v in (each.precision, each.recall, each.f1))))
    title = f"{evaluation.source}, {evaluation.split}: {evaluation.n:,} images"
    return "\n\n".join([title, aligned(numbers, "<><"), aligned(classes, "<>>>>") + left_out, _confusion(evaluation)])


def _calibration_numbers(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    (low, high), sets = evaluation.calibration_error_interval, evaluation.sets
    rows = [
        (
            "calibration error",
            percent(evaluation.calibration_error),
            f"confidence against accuracy: 95 % interval {percent(low)} to {percent(high)}; "
            f"{percent(evaluation.error_by_chance)} would be chance",
        )
    ]
    if sets is not None:
        (low, high), calibration = evaluation.error_before_interval, evaluation.calibration
        rows.append(
            (
                "before calibration",
                percent(evaluation.error_before),
                f"95 % interval {percent(low)} to {percent(high)}; temperature {calibration.temperature:.3f}, from "
                f"{calibration.images:,} {calibration.source}",
            )
        )
        low, high = sets.interval
        rows.append(
            (
                f"coverage of {100 * sets.asked:g} % sets",
                percent(sets.coverage),
                f"95 % interval {percent(low)} to {percent(high)}; {sets.mean_size:.2f} classes on average",
            )
        )
    return rows


def most_confused(evaluation: Evaluation, most: int = 10) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: true class, predicted class, number of images."""
    classes = evaluation.classes
    cells = [
        (count, true, predicted)
        for true, row in enumerate(evaluation.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    cells.sort(key=lambda cell: (-cell[0], cell[1], cell[2]))
    return [(classes[true], classes[predicted], count) for count, true, predicted in cells[:most]]


def _listed(evaluation: Evaluation) -> tuple[list[ClassScore], str]:
    """Classes for the table, and a note about the others: all of a few, the worst of many."""
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
