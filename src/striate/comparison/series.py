"""Series of training runs for a comparison, in a folder where an interrupted series continues.

Several models and several seeds, with the same data and recipe settings:

comparison.json        the request, written before the first run; the result is added when all runs have ended
MODEL/seed-N/          the runs
comparison.html        the page, if it was asked for
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt

from striate import models
from striate.data import Dataset, Split
from striate.data.loading import lasting, short_name
from striate.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    DivergedError,
    InterruptedRunError,
    RunError,
    ShapeError,
    StorageError,
    StriateError,
)
from striate.files import sealed, write_json
from striate.processes import world
from striate.runs import records
from striate.runs.driver import resume, train
from striate.runs.events import Observer
from striate.runs.folder import locked, new_folder
from striate.runs.run import Run
from striate.training import Recipe

FILE = "comparison.json"
FORMAT = 1
MOST_VAL_IMAGES = 1000  # test images, at most, on which accuracy is measured after each epoch


class _RequestRecord(records.Record):
    models: tuple[str, ...]
    seeds: PositiveInt
    settings: dict[str, Any]
    data: dict[str, Any]


class _SeriesRecord(records.Record):
    """comparison.json."""

    format: int
    request: _RequestRecord
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Job:
    """One run of a series: a model and a seed, the `number`th of `total` runs."""

    model: str
    seed: int
    number: int
    total: int

    @property
    def name(self) -> str:
        """The job's name in messages."""
        return f"{self.model}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """The run's folder, relative to that of the series."""
        return Path(_safe(self.model)) / f"seed-{self.seed}"


@dataclass(frozen=True)
class Series:
    """Request of a series of training runs.

    Args:
        models: names as `striate.create` takes them, options included.
        seeds: how many trainings of each model; their seeds are 0, 1, and so on.
        settings: recipe settings for all models, over the `modern` recipe of each; never the seed.
        data: what decides the data: arguments of `load`, and what `data_fingerprint` makes of the result.

    Raises:
        ArgumentError: if a model is named twice or not at all, or for impossible seeds or settings.
    """

    models: tuple[str, ...]
    seeds: int
    settings: dict[str, Any]
    data: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.models:
            raise ArgumentError("name at least one model to compare.")
        if self.seeds < 1:
            raise ArgumentError(f"seeds={self.seeds}: every model is trained at least once.")
        if "seed" in self.settings:
            raise ArgumentError("seed can't be set for a comparison: it trains with the seeds 0, 1, …; see --seeds.")
        places: dict[str, str] = {}
        for model in self.models:
            other = places.setdefault(_safe(model).lower(), model)  # some file systems know no capitals
            if list(self.models).count(model) > 1:
                raise ArgumentError(f"{model} is named twice: leave one of them out.")
            if other != model:
                raise ArgumentError(f"{other} and {model} would share a folder: compare them one after the other.")
        recipe = Recipe(**self.settings)
        object.__setattr__(self, "settings", {key: getattr(recipe, key) for key in self.settings})

    def jobs(self) -> list[Job]:
        """List the runs: every model with the first seed, then every model with the next."""
        pairs = [(model, seed) for seed in range(self.seeds) for model in self.models]
        return [Job(model, seed, number, len(pairs)) for number, (model, seed) in enumerate(pairs, start=1)]

    def recipe(self, seed: int) -> Recipe:
        """The recipe for a seed; unset values are left to the model's own recipe."""
        return Recipe(**{"name": "modern", **self.settings, "seed": seed})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "models": list(self.models),
            "seeds": self.seeds,
            "settings": self.settings,
            "data": {**self.data, "source": lasting(self.data["source"])},
        }


def data_fingerprint(data: Dataset) -> str:
    """SHA-256 of the training images and of the held-out images.

    Raises:
        DataError: if the data has no test or val images.
    """
    if data.held_out is None:
        raise DataError(
            f"{data.source} has no test or val images to measure the models on: give it a test or a val split."
        )
    _, images = data.held_out
    return f"{data.fingerprint()} {replace(data, train=images).fingerprint()}"


def misfits(series: Series, data_of: Callable[[str], Dataset]) -> dict[str, str]:
    """Find the models that can't take the images, with the reasons.

    Each model is created once, so that this is known before any training.

    Raises:
        ArgumentError: for a name or an option that does not exist.
        ShapeError: if none of the models fits.
    """
    reasons = {}
    for model in series.models:
        data = data_of(model)
        _, height, width, channels = data.train.images.shape
        try:
            models.create(model, len(data.classes), channels, (height, width), seed=0)
        except ShapeError as error:
            reasons[model] = str(error)
            if len(reasons) == len(series.models):
                raise
    return reasons


@contextmanager
def claimed(out: Path | None, series: Series) -> Iterator[Path]:
    """Lock the series' folder against other processes: a new one, or one that holds this series already.

    Models and seeds may have been added; comparison.json then includes them. Of processes that work together the first
    one claims it for all.

    Raises:
        CheckpointError: if the folder holds anything else, another series, or is in use; it says what differs.
        StorageError: if it can't be written.
    """
    processes = world()
    if not processes.is_first:
        yield Path(processes.from_first(str))
        return
    with ExitStack() as stack:
        if out is not None and (out / FILE).exists():
            stack.enter_context(locked(out))
            folder, result = out, _require_same(out, series)
        else:
            name = f"compare-{short_name(series.data['source'])}"
            folder, result = stack.enter_context(new_folder(out, name)), None
        record(folder, series, result)
        processes.from_first(lambda: str(folder))
        yield folder


def train_all(
    series: Series,
    folder: Path,
    data_of: Callable[[str], Dataset],
    begin: Callable[[Job], AbstractContextManager[Observer]],
    device: str = "auto",
    without: dict[str, str] | None = None,
) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """Train every run of a series to its end: finished ones are kept, interrupted ones continued.

    Args:
        series: the request.
        folder: locked for it.
        data_of: the data in the size that a model was drawn for, or its own.
        begin: called with each job, returns the observer of its run.
        device: "auto", "cpu" or "cuda".
        without: reasons by the names of models to leave out.

    Returns:
        the finished runs of each model, by seed; and what failed, with the reasons. A run that diverges, has
        not enough memory or can't be continued fails alone; of several processes, one that diverges.

    Raises:
        InterruptedRunError, StorageError: as `train` does; what was done is kept.
    """
    failures = dict(without or {})
    runs: dict[str, list[Run]] = {}
    for job in series.jobs():
        if job.model in (without or {}):
            continue
        path, data = folder / job.folder, _with_val_split(data_of(job.model))
        try:
            with begin(job) as observer:
                if (path / "run.json").exists():
                    run = resume(path, data=data, device=device, observer=observer)
                else:
                    run = train(job.model, data, series.recipe(job.seed), out=path, device=device, observer=observer)
            runs.setdefault(job.model, []).append(run)
        except (CheckpointError, RunError, ShapeError) as error:
            if _ends_all(error):
                raise
            failures[job.name] = str(error)
    return runs, failures


def _ends_all(error: StriateError) -> bool:
    """True for the error of a run after which the others are not trained.

    Where several processes train together, that is any error but those that all of them get at the same moment.
    """
    of_one = world().size > 1 and not isinstance(error, DivergedError | ShapeError)
    return of_one or isinstance(error, InterruptedRunError | StorageError)


def record(folder: Path, series: Series, result: dict[str, Any] | None) -> None:
    """Write comparison.json."""
    write_json(folder / FILE, sealed({"format": FORMAT, "request": series.to_dict(), "result": result}))


def _with_val_split(data: Dataset) -> Dataset:
    """Add a val split for the accuracy after each epoch, so that it can be drawn against time.

    Where there is no val split some images of the test split are used; nothing is selected by their accuracy. They are
    few, since a budget includes the time that this takes, and a large network takes long.
    """
    if (data.val is not None and len(data.val)) or data.test is None:
        return data
    chosen = torch.linspace(0, len(data.test) - 1, min(MOST_VAL_IMAGES, len(data.test))).long()
    note = f"there is no val split: validation accuracy is of {len(chosen):,} test images, for display only"
    return replace(data, val=Split(data.test.images[chosen], data.test.labels[chosen]), notes=(*data.notes, note))


def _require_same(folder: Path, series: Series) -> dict[str, Any] | None:
    """Check that the folder's series is part of this one; return its result if both are the same."""
    other = "or choose another folder with --out."
    try:
        values = records.read(folder / FILE, _SeriesRecord, FORMAT)
    except CheckpointError as error:
        raise CheckpointError(f"{str(error).rstrip('.')}: bring it back, {other}") from error
    before, now = values["request"], series.to_dict()
    requests = [{**each["data"], **each["settings"]} for each in (before, now)]
    lost = [model for model in before["models"] if model not in now["models"]]
    fewer = before["seeds"] > now["seeds"]
    for key in sorted(set(requests[0]) | set(requests[1]), key=lambda key: key == "seen"):
        old, new = (each.get(key) for each in requests)
        if old != new and key == "seen":
            raise CheckpointError(
                f"the images of {now['data']['source']} have changed since {folder} was begun: bring them back, {other}"
            )
        if old != new:
            texts = [f"without {key}" if value is None else f"with {key}={value}" for value in (old, new)]
            raise CheckpointError(f"{folder} was begun {texts[0]}, not {texts[1]}: ask for the same, {other}")
    if lost:
        raise CheckpointError(f"{folder} compares {', '.join(lost)} too: name all of its models, {other}")
    if fewer:
        raise CheckpointError(f"{folder} has {before['seeds']} seeds, not {now['seeds']}: ask for as many, {other}")
    return values.get("result") if before == now else None


def _safe(model: str) -> str:
    """A model's name with its options as a folder name: "resnet18:stem=small" is resnet18-stem-small."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.")
