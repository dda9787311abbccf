"""The network that `striate advise` checks, and the trial of its proposed changes (--try)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from striate.cli.console import say
from striate.cli.target import network_of
from striate.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.comparison import Trial
    from striate.data import Dataset
    from striate.inspection import Advice, Finding
    from striate.models import Architecture, Normalization
    from striate.runs import Run
    from striate.runs.events import Observer
    from striate.training import Recipe


@dataclass(frozen=True)
class AdvisedNetwork:
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


def advised_network(
    target: str,
    source: str | None,
    antialias: bool,
    classes: int | None,
    channels: int | None,
    image_size: int | None,
    most: int,
) -> AdvisedNetwork:
    """Open the run, or create the model for the data or the numbers given."""
    from striate.runs import Run

    if source is None or (Path(target) / "run.json").exists():
        found = network_of(target, antialias, classes, channels, image_size)
        return _of_run(found, source, most) if isinstance(found, Run) else _of_model(found, None)
    if (classes, channels) != (None, None):
        raise ArgumentError("--data says how many classes and channels there are: leave out --classes and --channels.")
    from striate.cli.progress import loading
    from striate.cli.target import with_blur
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


def tried(
    advised: AdvisedNetwork, advice: "Advice", length: Mapping[str, float], seeds: int, device: str
) -> "Trial | None":
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


def _of_run(run: "Run", source: str | None, most: int) -> AdvisedNetwork:
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
    return AdvisedNetwork(run, run.architecture, mine, normalization, images, notes=notes)


def _of_model(model: "nn.Module", data: "Dataset | None") -> AdvisedNetwork:
    from striate import models
    from striate.training import recipe

    made: Architecture = model.architecture  # type: ignore[assignment]
    facts, channels = models.facts(made.name), made.channels
    usual = recipe("modern", made.name, *([len(data.train)] if data else []))
    published = None
    if facts.mean is not None and facts.std is not None:
        published = ((facts.mean,) * channels, (facts.std,) * channels)
    usual = usual.replace(loss=facts.loss) if usual.loss == "auto" else usual
    return AdvisedNetwork(model, made, usual, published, data=data)


def _own_data(advised: AdvisedNetwork) -> "Dataset":
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
