"""How good a run is: every number on one set of images, from one pass over it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.augmentation import views
from striate.data import Dataset
from striate.evaluation.metrics import (
    ClassScore,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    finite,
    wilson_interval,
)
from striate.evaluation.samples import Samples, samples_of
from striate.evaluation.text import evaluation_text
from striate.hardware import pick
from striate.runs import Run
from striate.training import logits_of, score_of


@dataclass(frozen=True)
class Evaluation:
    """What a run does with n labelled images. Fractions are in [0, 1].

    Args:
        accuracy: the share of images whose most probable class is the right one.
        interval: where the accuracy on other such images lies with 95 % confidence (Wilson).
        top1_error, top5_error: the shares of images whose class is not the first, not among the first five.
        loss: cross-entropy in nats.
        calibration_error: how far the probabilities are from being right that often (Guo et al. 2017, 15 bins).
        n, split, source: how many images, and which.
        classes: the run's, in the order of its outputs.
        per_class: precision, recall, F1 and number of images of each.
        confusion: how many images of each class (rows) were taken for each class (columns).
        notes: what to know about these images, in sentences.
        tta: the test-time augmentation.
        probabilities: float64 (N, classes).
        labels, predicted: int64 (N,), positions in `classes`.
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
    probabilities: Tensor = field(default_factory=lambda: torch.empty(0, 0), repr=False, compare=False)
    labels: Tensor = field(default_factory=lambda: torch.empty(0), repr=False, compare=False)
    predicted: Tensor = field(default_factory=lambda: torch.empty(0), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not a finite number is `None`."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "loss": finite(self.loss),
            "calibration_error": finite(self.calibration_error),
            "n": self.n,
            "split": self.split,
            "tta": self.tta,
            "per_class": [each.to_dict() for each in self.per_class],
            "confusion": self.confusion,
        }

    def text(self) -> str:
        """A table for people."""
        return evaluation_text(self)


def evaluate(
    run: Run | str | Path,
    data: Dataset | str | Path | None = None,
    *,
    device: str = "auto",
    model: nn.Module | None = None,
    tta: str | None = None,
) -> Evaluation:
    """Measure a run on labelled images it was not trained on.

    Args:
        run: a run or its folder; of a run not finished, the newest checkpoint is measured.
        data: a data set, or a source for `striate.load`; classes are matched by name. Without it, what the run's own
            data holds out.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.
        tta: test-time augmentation: "none", "flip", "shifts", "ten-crop", or several with commas, see
            `augmentation.views`. Without it, the run's recipe decides.

    Raises:
        ArgumentError: for an unknown test-time augmentation.
        DataError: if there are no such images, or if classes are unknown to the run or missing in the data.
        CheckpointError: if the run has no usable weights.
    """
    views("none" if tta is None else tta)  # a mistake here shows before anything is read
    run = run if isinstance(run, Run) else Run.open(run)
    return measured(run, samples_of(run, data), run.model(model), device, tta)


def measured(run: Run, samples: Samples, model: nn.Module, device: str = "auto", tta: str | None = None) -> Evaluation:
    """The evaluation of a trained model on these samples, in their order."""
    target, labels, tta = pick(device), samples.split.labels, run.recipe.tta if tta is None else tta
    logits = logits_of(model.to(target), samples.split.images, run.preprocess, target, tta=tta)
    score = score_of(logits, labels)
    predicted = best_first(logits)[:, 0]
    probabilities = logits.double().softmax(dim=1)
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
        classes=run.classes,
        per_class=class_scores(labels, predicted, run.classes),
        confusion=confusion_matrix(labels, predicted, len(run.classes)),
        notes=samples.notes + ((f"Averaged over views of each image: {tta}.",) if tta != "none" else ()),
        tta=tta,
        probabilities=probabilities,
        labels=labels,
        predicted=predicted,
    )


def best_first(logits: Tensor) -> Tensor:
    """Each image's classes, best first and equal ones by number, as in `training.ranks`: int64 (N, classes)."""
    return logits.nan_to_num(nan=-torch.inf).sort(dim=1, descending=True, stable=True).indices
