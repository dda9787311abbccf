"""Outcome of one run for a comparison: its correct predictions, size and speed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.evaluation.evaluation import measured
from striate.evaluation.samples import network_and_data, samples_of
from striate.preprocess import Preprocess
from striate.runs import Run


@dataclass(frozen=True)
class Outcome:
    """Measurements of one run. Fractions are in [0, 1].

    Args:
        path: the run's folder; of a module, its name.
        model: the model's name with its options.
        seed: the recipe's.
        settings: the rest of the recipe.
        source, split: which images.
        classes: the run's, in the order of its outputs.
        truth: the name of each image's class, in the images' order.
        correct: bool (images,), whether the most probable class was the right one.
        top5_error: the share of images whose class is not among the first five.
        parameters: how many are trained.
        train_seconds, images_per_second: of training, without what is measured in between; `None` where unknown.
        curve: seconds of training so far and accuracy on the val split, after each epoch.
        notes: remarks on these images, in sentences.

    >>> measured = outcome(run)
    >>> measured.model, measured.seed, measured.correct.shape, measured.parameters
    ('mlp', 0, (359,), 50610)
    """

    path: Path
    model: str
    seed: int
    settings: dict[str, Any]
    source: str
    split: str
    classes: tuple[str, ...]
    truth: tuple[str, ...] = field(repr=False)
    correct: NDArray[np.bool_] = field(repr=False)
    top5_error: float
    parameters: int
    train_seconds: float | None
    images_per_second: float | None
    curve: tuple[tuple[float, float], ...] = field(repr=False)
    notes: tuple[str, ...] = ()


def outcome(
    run: Run | str | Path | nn.Module,
    data: Any = None,
    *,
    device: str = "auto",
    model: nn.Module | None = None,
    preprocess: Preprocess | None = None,
    whole: bool | None = None,
) -> Outcome:
    """Measure a network for a comparison; arguments and errors are those of `evaluate` and `samples_of`.

    >>> measured = outcome(run)
    >>> measured.split, len(measured.truth), bool(measured.correct.mean() > 0.7)
    ('test', 359, True)
    """
    trained, data = network_and_data(run, data, module=model, preprocess=preprocess)
    evaluation = measured(trained, samples_of(trained, data, whole), device)
    shared: dict[str, Any] = {
        "source": evaluation.source,
        "split": evaluation.split,
        "classes": trained.classes,
        "truth": tuple(trained.classes[label] for label in evaluation.labels.tolist()),
        "correct": (evaluation.predicted == evaluation.labels).numpy(),
        "top5_error": evaluation.top5_error,
        "parameters": sum(weight.numel() for weight in trained.module.parameters() if weight.requires_grad),
    }
    if trained.run is None:
        return Outcome(
            path=Path(trained.name), model=trained.name, seed=0, settings={}, train_seconds=None,
            images_per_second=None, curve=(), notes=evaluation.notes, **shared,
        )  # fmt: skip
    run, history, result = trained.run, trained.run.history(), trained.run.result or {}
    elapsed = np.cumsum([epoch["seconds"] for epoch in history]).tolist()
    notes = evaluation.notes
    if not result:
        notes += (f"{run.path} has not finished training: its newest checkpoint is measured.",)
    return Outcome(
        path=run.path,
        model=run.name,
        seed=run.recipe.seed,
        settings=run.recipe.model_dump(exclude={"seed"}),
        train_seconds=result.get("train_seconds"),
        images_per_second=result.get("images_per_second"),
        curve=tuple(
            (seconds, epoch["val_accuracy"])
            for seconds, epoch in zip(elapsed, history, strict=True)
            if "val_accuracy" in epoch
        ),
        notes=notes,
        **shared,
    )
