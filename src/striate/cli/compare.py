"""`striate compare`: several models on equal terms, with tests of their differences."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from striate.cli import launch
from striate.cli.console import say, show, show_json
from striate.cli.options import (
    Augment,
    CacheSize,
    Device,
    Fit,
    ImageSize,
    Json,
    MaxPixels,
    Processes,
    Settings,
    SkipBad,
    Source,
)
from striate.cli.train import given
from striate.errors import ArgumentError, InterruptedRunError, RunError, StorageError, StriateError
from striate.processes import World, world
from striate.units import seconds

if TYPE_CHECKING:
    import torch

    from striate.comparison import Comparison
    from striate.comparison.series import Job
    from striate.data import Dataset
    from striate.preprocess import Fit as FitName
    from striate.runs import Run
    from striate.runs.events import Observer
    from striate.training import Recipe


def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Models, as 'striate train' takes them.")],
    data: Source = "digits",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data, for every model.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Training time of each run instead of --epochs: 90s, 10m, 1h30m.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each model, with the seeds 0, 1, and so on.")] = 3,
    augment: Augment = None,
    settings: Settings = None,
    image_size: ImageSize = None,
    fit: Fit = "letterbox",
    skip_bad: SkipBad = False,
    cache_size: CacheSize = None,
    max_pixels: MaxPixels = None,
    out: Annotated[Path | None, typer.Option(help="The folder, new or to continue; under runs/ if not given.")] = None,
    device: Device = "auto",
    processes: Processes = None,
    json: Json = False,
) -> None:
    """Train several models alike, measure them on the same images, and test their differences.

    Stopped, it continues when called again with the same --out; models and seeds may be added there later. Several
    processes train each model together, in --set shards=4 if not given, and one process continues with the same.
    """
    from striate.comparison.series import FILE, Series, claimed, data_fingerprint, misfits, record, train_all
    from striate.hardware import pick
    from striate.models import facts

    sizes = {model: facts(model).image_size if image_size is None else image_size for model in models}
    changes = given({**_length(epochs, budget, settings or []), "augment": augment}, settings or [])
    about = {"source": data, "image_size": image_size, "fit": fit, "skip_bad": skip_bad}
    recipe = Series(tuple(models), seeds, changes, about).recipe(0)  # a mistake here shows before the data is read
    changes |= _division(recipe, processes or world().size, pick(device))
    if launch.launched(processes):
        return
    out = launch.to_continue(out, FILE) or out
    load = _loader(data, fit, skip_bad, cache_size)
    series = Series(tuple(models), seeds, changes, {**about, "seen": data_fingerprint(load(image_size))})

    def data_of(model: str) -> "Dataset":
        return load(sizes[model])

    without = misfits(series, data_of)
    for model, reason in without.items():
        say(f"{model} is left out: {reason}")
    with claimed(out, series) as folder, _continued(folder, out is not None):
        launch.begun(folder)
        runs, failures = train_all(series, folder, data_of, _display, device, without)
        comparison = _measured(runs, data_of, failures, device)
        page = folder / "comparison.html"
        if world().is_first:
            record(folder, series, comparison.to_dict())
            _write_page(comparison, page)
    if json:
        show_json({**comparison.to_dict(), "folder": str(folder), "page": str(page)})
    else:
        show(comparison.text())
        say(f"The runs are in {folder}, the page with plots is {page}")
    if failures:
        raise RunError(f"not all of it could be trained: {', '.join(failures)}; the reasons are above.")


def _length(epochs: int | None, budget: str | None, settings: list[str]) -> dict[str, float | str | None]:
    """The training length of each run: --epochs or --budget, whichever is given."""
    by_hand = [setting for setting in settings if setting.partition("=")[0].strip() in ("epochs", "budget", "steps")]
    if by_hand:
        raise ArgumentError(f"--set {by_hand[0]}: use --epochs or --budget.")
    if (epochs is None) == (budget is None):
        raise ArgumentError("say how long each model trains, the same for all: either --epochs 10 or --budget 10m.")
    return {"epochs": epochs} if budget is None else {"budget": seconds(budget)}


def _division(recipe: "Recipe", processes: int, device: "torch.device") -> dict[str, float | str]:
    """The setting by which several processes divide batches: kept with the series, so that any number continues it.

    Raises:
        ArgumentError: if the number of processes does not divide that of the shards.
    """
    from striate.runs.agreement import divided

    if processes < 2:
        return {}
    recipe = divided(recipe, World(size=processes), device)
    return {"sync": recipe.sync} if recipe.sync == "ddp" else {"shards": recipe.shards}


def _loader(source: str, fit: str, skip_bad: bool, cache_size: str | None) -> Callable[[int | None], "Dataset"]:
    """A function that loads the data by image size, once for each."""
    from striate.cli.progress import loading
    from striate.data import load
    from striate.units import bytes_of

    known: dict[int | None, Dataset] = {}
    most = None if cache_size is None else bytes_of(cache_size)

    def of_size(size: int | None) -> "Dataset":
        if size not in known:
            with loading() as report:
                known[size] = load(
                    source,
                    image_size=size,
                    fit=cast("FitName", fit),
                    skip_bad=skip_bad,
                    cache_size=most,
                    progress=report,
                )
        return known[size]

    return of_size


@contextmanager
def _display(job: "Job") -> Iterator["Observer"]:
    from striate.cli.progress import Progress

    say(f"\n{job.name} ({job.number} of {job.total})")
    try:
        with Progress() as progress:
            yield progress
    except StriateError as error:
        # These two end the command, with a message of their own.
        if not isinstance(error, InterruptedRunError | StorageError):
            say(f"{job.name} failed: {error}")
        raise
    if progress.begun is None:
        say("finished before, and kept")


@contextmanager
def _continued(folder: Path, named: bool) -> Iterator[None]:
    """Add to an interruption's message how to continue; not where torchrun ends a process as another one is lost."""
    try:
        yield
    except (InterruptedRunError, KeyboardInterrupt) as error:
        if world().size > 1 and not isinstance(error, InterruptedRunError):
            raise
        again = shlex.join(["striate", *sys.argv[1:], *([] if named else ["--out", str(folder)])])
        raise InterruptedRunError(f"stopped, all of it saved; continue with: {again}") from None


def _measured(
    runs: dict[str, list["Run"]], data_of: Callable[[str], "Dataset"], failures: dict[str, str], device: str
) -> "Comparison":
    from striate.comparison import compare as compare_outcomes
    from striate.comparison import outcome
    from striate.inspection import describe

    if not runs:
        raise RunError("no model could be trained: " + " ".join(f"{name}: {why}" for name, why in failures.items()))
    say(f"\nmeasuring {sum(map(len, runs.values()))} runs")
    outcomes = {model: [outcome(run, data_of(model), device=device) for run in each] for model, each in runs.items()}
    tables = {model: describe(each[0]) for model, each in runs.items()}
    counts = {model: None if table.unknown else table.multiply_adds for model, table in tables.items()}
    return compare_outcomes(outcomes, multiply_adds=counts, failures=failures)


def _write_page(comparison: "Comparison", path: Path) -> None:
    from striate.reports import report_comparison

    report_comparison(comparison, out=path, command=shlex.join(["striate", *sys.argv[1:]]))
