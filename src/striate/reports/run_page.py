"""HTML report of a training run: one file without network requests."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from striate import models
from striate.data import Dataset
from striate.data.loading import is_loadable
from striate.errors import ArgumentError, DataError
from striate.evaluation.calibration import BINS, reliability
from striate.evaluation.evaluation import Evaluation, measured, most_confused
from striate.evaluation.samples import Samples, network_and_data, samples_of
from striate.hardware import pick
from striate.inference import UNCALIBRATED
from striate.inspection.invariances.classifier import other_network
from striate.preprocess import Preprocess
from striate.reports.inspected_run import InspectedRun
from striate.reports.pictures import first_filters, most_confident_mistakes
from striate.reports.rendering import Page, file_to_write, write_page
from striate.reports.sections import sections
from striate.runs import Run, Trained
from striate.training import Recipe
from striate.training import recipe as named
from striate.types import Progress

MOST_CELLS = 24  # classes beyond which the confusion matrix is a picture and not a table


def report(
    run: Run | str | Path | nn.Module,
    *,
    out: str | Path | None = None,
    data: Any = None,
    against: Sequence[Run | str | Path] = (),
    device: str = "auto",
    model: nn.Module | None = None,
    preprocess: Preprocess | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Page:
    """Write a run's report: accuracy, mistakes, attributions, invariance, architecture, features and recipe.

    Args:
        run: a run or its folder, or a module from (N, C, H, W) to logits (N, classes); of a run not finished, the
            newest checkpoint is shown.
        out: the file; report.html in the run's folder, or in the working directory, if not given.
        data: what to measure the run on, see `evaluate`. Where the run's own data is gone or has no test or val
            images, the report says so and shows the rest.
        against: other runs on the same classes, to compare its shift consistency with.
        device: "auto", "cpu" or "cuda".
        model: for a run whose model Striate did not create, a module of the same structure.
        preprocess: for a module, how images become its input, see `evaluate`.
        progress: called with what is being done, how much of it is done, and how much there is.

    Returns:
        The page: it shows itself in a notebook, and its `path` is the file's. What it shows is the same each time, but
        for the time that networks take for an image.

    Raises:
        ArgumentError: if `out` is a folder.
        CheckpointError: if the run, or one to compare with, has no usable weights.
        DataError: if a run to compare with has other classes.
        StorageError: if the file can't be written; what was there before stays.

    >>> page = striate.report(run, out="run.html")
    >>> page.name, "most confident mistakes" in page.html.lower()
    ('run.html', True)
    """
    whole = data is not None and not isinstance(data, Dataset)
    trained, data = network_and_data(run, data, module=model, preprocess=preprocess)
    folder = trained.run.path if trained.run else Path()
    path = file_to_write(folder / "report.html" if out is None else out, "report.html")
    rivals = tuple(
        other_network(Run.of(each), trained.classes, str(trained.run.path if trained.run else trained.name))
        for each in against
    )
    samples, reason = _samples(trained, data, whole)
    evaluation = measured(trained, samples, device) if samples else None
    inspected = InspectedRun(trained, samples, evaluation, rivals, device, progress)
    page = {
        **_about(trained),
        **_measurements(trained, samples, evaluation, reason),
    }
    with trained.on(pick(device)):
        page["sections"] = sections(inspected)
    page |= _plots(page["history"], evaluation)
    return write_page(path, "report.html.j2", page)


def _samples(trained: Trained, data: Any, whole: bool) -> tuple[Samples | None, str]:
    """The held-out images, or the reason why there are none."""
    try:
        return samples_of(trained, data, whole), ""
    except (DataError, ArgumentError) as error:
        if data is not None:
            raise
        return None, str(error)


def _about(trained: Trained) -> dict[str, Any]:
    """Facts that need no data: of the run's own files and the weights."""
    run, module = trained.run, trained.module
    descriptions = Recipe.model_fields
    made = getattr(module, "architecture", None)
    settings = run.recipe.model_dump() if run else {}
    return {
        "trained": trained,
        "run": run,
        "preprocess": trained.preprocess,
        "facts": models.facts(made.name) if made is not None and made.name in models.names() else None,
        "result": run.result if run else None,
        "history": run.history() if run else [],
        "parameters": sum(weight.numel() for weight in module.parameters() if weight.requires_grad),
        "filters": first_filters(module, trained.preprocess),
        "recipe": [(key, value, descriptions[key].description) for key, value in settings.items()],
        "command": command(run) if run and is_loadable(run.source) else None,
    }


def _measurements(
    trained: Trained, samples: Samples | None, evaluation: Evaluation | None, reason: str
) -> dict[str, Any]:
    """Page values from the held-out images, or the reason why there are none."""
    if samples is None or evaluation is None:
        result = (trained.run.result if trained.run else None) or {}
        measured_then = result if "accuracy" in result else None
        return {"evaluation": None, "measured": measured_then, "notes": [f"Not measured on images now: {reason}"]}
    return {
        "evaluation": evaluation,
        "bins": BINS,
        "measured": evaluation,
        "notes": list(evaluation.notes),
        "mistakes": most_confident_mistakes(evaluation, samples.split),
        "wrong": int((evaluation.predicted != evaluation.labels).sum()),
        "confusion": _cells(evaluation) if len(trained.classes) <= MOST_CELLS else None,
        "confused": most_confused(evaluation),
    }


def _cells(evaluation: Evaluation) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of the confusion matrix: the class name and each cell's count, share, correctness and tooltip."""
    rows = []
    for true, counts in enumerate(evaluation.confusion):
        name, total = evaluation.classes[true], max(sum(counts), 1)
        cells = [
            {"count": count, "share": count / total, "hit": true == column, "says": f"{name} → {predicted}: {count}"}
            for column, (predicted, count) in enumerate(zip(evaluation.classes, counts, strict=True))
        ]
        rows.append((name, cells))
    return rows


def _plots(history: list[dict[str, Any]], evaluation: Evaluation | None) -> dict[str, Any]:
    from striate.reports import plots  # Matplotlib takes half a second that importing this package need not take

    large = evaluation is not None and len(evaluation.classes) > MOST_CELLS
    diagram = None
    if evaluation and bool(evaluation.probabilities.isfinite().all()):
        probabilities = [evaluation.probabilities]
        if evaluation.calibration.images:
            probabilities.append(UNCALIBRATED.probabilities(evaluation.logits))
        diagram = plots.reliability_diagram(*(reliability(each, evaluation.labels) for each in probabilities))
    return {
        "reliability_diagram": diagram,
        "loss_curve": plots.curves(history, "loss") if history else None,
        "accuracy_curve": plots.curves(history, "accuracy") if history else None,
        "heat_map": plots.heat_map(evaluation.confusion) if evaluation and large else None,
    }


_OPTIONS = {"epochs": "--epochs", "batch_size": "--batch-size", "seed": "--seed", "augment": "--augment"}


def command(run: Run) -> str | None:
    """The shell command that trains a run like this one, or `None` for a model that has no name.

    Every setting is included that differs from the named recipe, or that the recipe takes from the data, and what the
    weights depend on besides: the precision and the threads.
    """
    if run.architecture is None or run.architecture.name not in models.names():
        return None
    name, preprocess = run.architecture.name, run.preprocess
    facts = models.facts(name)
    words = ["striate", "train", run.architecture.text, "--data", run.source]
    if preprocess.height == preprocess.width != facts.image_size:
        words += ["--image-size", str(preprocess.height)]
    by_hand = preprocess.crop == 1 and (run.weights or preprocess.fit != "letterbox")  # weights bring a crop below 1
    words += ["--fit", preprocess.fit] if by_hand else []
    words += ["--skip-bad"] if run.skip_bad else []
    words += ["--weights", run.weights] if run.weights else []
    recipe, usual = _usual(run.recipe.name, name)
    settings = run.recipe.model_dump()
    if run.recipe.budget and run.result:  # another machine, or hour, would fit other steps into the same time
        settings |= {"budget": 0.0, "steps": run.result["steps"]}
    words += ["--recipe", recipe] if recipe != "modern" else []
    for setting, value in settings.items():
        given = {facts.loss if base[setting] == "auto" and setting == "loss" else base[setting] for base in usual}
        if setting != "name" and given != {value}:
            text = value if isinstance(value, str) else json.dumps(value)
            words += [_OPTIONS[setting], text] if setting in _OPTIONS else ["--set", f"{setting}={text}"]
    if run.environment["device"] == "cpu":
        words += ["--threads", str(run.environment["threads"])]
    return shlex.join(words)


def _usual(recipe: str, model: str) -> tuple[str, list[dict[str, Any]]]:
    """The recipe's name and its settings for little and for much data; those of `modern` if the model has none."""
    try:
        return recipe, [named(recipe, model, samples).model_dump() for samples in (1, 10**9)]
    except ArgumentError:
        return _usual("modern", model)
