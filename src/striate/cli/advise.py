"""`striate advise`: a linter for networks, and with --try a trial of the changes that it proposes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.console import say, show, show_json
from striate.cli.options import Antialias, Channels, Classes, Device, Json, ModelOrRun, network_of, with_blur
from striate.errors import ArgumentError, DataError
from striate.units import seconds

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.comparison import Trial
    from striate.data import Dataset
    from striate.inspection import Advice, Finding
    from striate.models import Architecture, Normalization
    from striate.runs import Run
    from striate.runs.events import Observer
    from striate.training import Recipe


def advise(
    target: ModelOrRun,
    data: Annotated[
        str | None,
        typer.Option(help="Data set: sets classes and size, and is used by --try; for a run, replaces its own."),
    ] = None,
    rules: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; may be given again.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="All rules but this; may be given again.")] = None,
    images: Annotated[int, typer.Option(help="How many held-out images the rules for trained networks see.")] = 1000,
    classes: Classes = None,
    channels: Channels = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; if not given, the model's own, the data's, or 28.")
    ] = None,
    antialias: Antialias = False,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step, for the memory; the recipe's.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there are findings; times vary: add --ignore slow-layer.")
    ] = False,
    attempt: Annotated[
        bool, typer.Option("--try", help="Train the original and each automatic change, and compare them.")
    ] = False,
    budget: Annotated[str | None, typer.Option(help="With --try, time for each training; 1m if not given.")] = None,
    epochs: Annotated[int | None, typer.Option(help="With --try, passes over the data instead.")] = None,
    seeds: Annotated[int, typer.Option(help="With --try, trainings of each network.")] = 3,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Check a network against design rules: each finding with its numbers and the change it proposes."""
    from striate.inspection import advise as look

    chosen = _chosen(rules or [], ignore or [])
    length = _length(attempt, budget, epochs)
    advised = _advised_network(target, data, antialias, classes, channels, image_size, most=images)
    recipe = advised.recipe if batch_size is None else advised.recipe.replace(batch_size=batch_size)
    advice = look(advised.network, advised.images, recipe=recipe, rules=chosen, device=device)
    for note in advised.notes:
        say(note)
    trial = _tried(advised, advice, length, seeds, device) if attempt else None
    if json:
        show_json({**advice.to_dict(), "trial": trial and trial.to_dict()})
    else:
        show("\n\n".join([advice.text(), *([trial.text()] if trial else [])]))
    if strict and advice.findings:
        raise typer.Exit(1)


def _chosen(rules: list[str], ignore: list[str]) -> list[str]:
    """The selected rules, in their usual order."""
    from striate.errors import unknown
    from striate.inspection.advice import RULES

    for rule in (*rules, *ignore):
        if rule not in RULES:
            raise unknown("rule", rule, RULES)
    chosen = [rule for rule in RULES if (not rules or rule in rules) and rule not in ignore]
    if not chosen:
        raise ArgumentError("--rule and --ignore leave no rule: name one that is not ignored.")
    return chosen


def _length(attempt: bool, budget: str | None, epochs: int | None) -> dict[str, float]:
    """Recipe settings for the length of each training of --try."""
    if not attempt and (budget is not None or epochs is not None):
        raise ArgumentError("--budget and --epochs are about training: give --try too.")
    if budget is not None and epochs is not None:
        raise ArgumentError("--epochs and --budget both say how long to train: give one of them.")
    return {"budget": seconds(budget or "1m")} if epochs is None else {"epochs": epochs}


@dataclass(frozen=True)
class _Advised:
    """A network with its recipe, normalisation and images.

    Args:
        network: the run or the model.
        architecture: how it is made afresh.
        recipe: how it is trained; a run's own if it began with fresh weights.
        normalization: what images are brought to; `None` for what the data has.
        images: uint8 (N, H, W, C) that a trained network is looked at with.
        data: to train it on, if it is known and not a run's own.
        notes: to be said aloud.
    """

    network: "nn.Module | Run"
    architecture: "Architecture"
    recipe: "Recipe"
    normalization: "Normalization | None"
    images: "Tensor | None" = None
    data: "Dataset | None" = None
    notes: tuple[str, ...] = ()


def _advised_network(
    target: str,
    source: str | None,
    antialias: bool,
    classes: int | None,
    channels: int | None,
    image_size: int | None,
    most: int,
) -> _Advised:
    """Open the run, or create the model for the data or the numbers given."""
    from striate.runs import Run

    if source is None or (Path(target) / "run.json").exists():
        found = network_of(target, antialias, classes, channels, image_size)
        return _of_run(found, source, most) if isinstance(found, Run) else _of_model(found, None)
    if (classes, channels) != (None, None):
        raise ArgumentError("--data says how many classes and channels there are: leave out --classes and --channels.")
    from striate.cli.progress import loading
    from striate.data import load
    from striate.runs import wanted_input

    name = with_blur(target, antialias)
    wanted = wanted_input(name) | ({} if image_size is None else {"image_size": image_size})
    with loading() as report:
        data = load(source, progress=report, **wanted)
    height, width, depth = data.train.images.shape[1:]
    if height != width:
        raise DataError(f"{source} has images of {height}×{width}: choose a side with --image-size.")
    made = network_of(target, antialias, len(data.classes), depth, height)
    return _of_model(made, data)  # type: ignore[arg-type]


def _tried(advised: _Advised, advice: "Advice", length: Mapping[str, float], seeds: int, device: str) -> "Trial | None":
    """Train the network with each proposed change and without; `None` if there is nothing to try."""
    from striate.comparison.trial import ORIGINAL, trial

    findings = {f"{number} {each.rule}": each for number, each in enumerate(advice.findings, start=1) if each.surgery}
    if not findings:
        say("Nothing to try: no finding has an automatic change.")
        return None
    data = advised.data or _own_data(advised)
    settings = {"budget": 0.0, "steps": "", **length}
    counts = {name: advice.multiply_adds - each.saves.multiply_adds for name, each in findings.items() if each.saves}
    counts[ORIGINAL] = advice.multiply_adds
    return trial(
        advised.architecture.make,
        {name: partial(_changed, advised.architecture, each) for name, each in findings.items()},
        data,
        advised.recipe.replace(**settings),
        seeds=seeds,
        normalization=advised.normalization,
        multiply_adds=counts,
        device=device,
        begin=partial(_begun, seeds * (len(findings) + 1)),
    )


def _changed(architecture: "Architecture", finding: "Finding", seed: int) -> "nn.Module":
    return finding.apply(architecture.make(seed), seed=seed)


def _of_run(run: "Run", source: str | None, most: int) -> _Advised:
    from striate.evaluation.samples import samples_of
    from striate.runs import Trained
    from striate.training import recipe

    if run.architecture is None:
        raise ArgumentError(f"{run.path} was trained from a module of yours: use striate.advise in Python.")
    images: Tensor | None = None
    notes: tuple[str, ...]
    try:
        samples = samples_of(Trained.of(run), source)
        images, notes = samples.drawn(most)[0], samples.notes
    except DataError as error:
        if source is not None:
            raise
        notes = (f"No images to look at: {error}",)
    mine = run.recipe if run.weights is None else recipe("modern", run.architecture.name)
    normalization = (run.preprocess.mean, run.preprocess.std)
    return _Advised(run, run.architecture, mine, normalization, images, notes=notes)


def _of_model(model: "nn.Module", data: "Dataset | None") -> _Advised:
    from striate import models
    from striate.training import recipe

    made: Architecture = model.architecture  # type: ignore[assignment]
    facts, channels = models.facts(made.name), made.channels
    usual = recipe("modern", made.name, *([len(data.train)] if data else []))
    published = None
    if facts.mean is not None and facts.std is not None:
        published = ((facts.mean,) * channels, (facts.std,) * channels)
    usual = usual.replace(loss=facts.loss) if usual.loss == "auto" else usual
    return _Advised(model, made, usual, published, data=data)


def _own_data(advised: _Advised) -> "Dataset":
    from striate.runs import Run

    if not isinstance(advised.network, Run):
        raise ArgumentError("--try trains networks: say on what, with --data.")
    return advised.network.data()


@contextmanager
def _begun(total: int, name: str, seed: int) -> Iterator["Observer"]:
    from striate.cli.progress import Progress

    say(f"\n{name}, seed {seed} (of {total} trainings)")
    with Progress() as progress:
        yield progress
