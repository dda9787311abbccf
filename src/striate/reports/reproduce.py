"""The command that trains a run again."""

import json
import shlex
from typing import Any

from striate import models
from striate.errors import ArgumentError
from striate.runs import Run
from striate.training import recipe as named

_OPTIONS = {"epochs": "--epochs", "batch_size": "--batch-size", "seed": "--seed", "augment": "--augment"}


def command(run: Run) -> str | None:
    """The shell command that trains a run like this one, or `None` for a model that has no name.

    Every setting is spelled out in which the run differs from the named recipe, or which that takes from the data.
    """
    if run.architecture is None or run.architecture.name not in models.names():
        return None
    name, preprocess = run.architecture.name, run.preprocess
    facts = models.facts(name)
    words = ["striate", "train", run.architecture.text, "--data", run.source]
    if preprocess.height == preprocess.width != facts.image_size:
        words += ["--image-size", str(preprocess.height)]
    words += ["--fit", preprocess.fit] if preprocess.fit != "letterbox" else []
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
    return shlex.join(words)


def _usual(recipe: str, model: str) -> tuple[str, list[dict[str, Any]]]:
    """The recipe of this name, or where the model has none modern, with its settings for little and for much data."""
    try:
        return recipe, [named(recipe, model, samples).model_dump() for samples in (1, 10**9)]
    except ArgumentError:
        return _usual("modern", model)
