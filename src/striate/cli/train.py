"""`striate train`: train a model and keep it as a run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli import launch
from striate.cli.console import say, show, show_json
from striate.cli.launch import importing
from striate.cli.options import (
    Antialias,
    Augment,
    CacheSize,
    Device,
    ImageSize,
    Json,
    MaxPixels,
    OwnFit,
    Processes,
    Settings,
    SkipBad,
    Source,
    fetch_weights,
    with_blur,
)
from striate.errors import ArgumentError
from striate.units import seconds

if TYPE_CHECKING:
    from striate.runs import Run


def train(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="A name that 'striate describe' takes; if not given, one that suits the data."),
    ] = None,
    data: Source = "digits",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="modern; fast: quicknets in little time; paper: the authors'; fine-tune, transfer: for --weights."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Begin with these weights: imagenet, a file such as torchvision's, or a run."),
    ] = None,
    freeze_backbone: Annotated[
        bool, typer.Option("--freeze-backbone", help="Train the last layer alone; the others keep their --weights.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    budget: Annotated[str | None, typer.Option(help="Training time instead of --epochs: 90s, 10m, 1h30m.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    augment: Augment = None,
    settings: Settings = None,
    antialias: Antialias = False,
    image_size: ImageSize = None,
    fit: OwnFit = None,
    skip_bad: SkipBad = False,
    cache_size: CacheSize = None,
    max_pixels: MaxPixels = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; a new one under runs/ if not given.")] = None,
    device: Device = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            help="CPU threads; one a core, or fewer for a small network, if not given. Each number gives its weights."
        ),
    ] = None,
    processes: Processes = None,
    shards: Annotated[
        int | None, typer.Option(help="Parts of a batch, for any number of processes that divides it; 4 for several.")
    ] = None,
    sync: Annotated[
        str | None, typer.Option(help="exact: equal weights on any number of processes; ddp: faster.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue this run, with its own settings.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too.")] = False,
    json: Json = False,
) -> None:
    """Train a model on images. With no argument: LeNet-5 on scikit-learn's handwritten digits.

    With --data alone: photographs by pretrained EfficientNet-Lite0 and recipe transfer, other images by quicknet_m and
    recipe fast.
    """
    with importing():
        from striate.cli.progress import Progress
        from striate.runs import resume as continue_run

    if resume is not None:
        _refuse_settings(context)
    if processes is not None and resume is None:
        _check_division(processes, shards, sync)
    if launch.launched(processes):
        return
    resume = resume or launch.to_continue(out)
    if resume is not None:
        with Progress() as progress:
            run = continue_run(resume, device=device, tensorboard=tensorboard, observer=progress)
    else:
        if epochs is not None and budget is not None:
            raise ArgumentError("--epochs and --budget both say how long to train: give one of them.")
        options = {
            "epochs": epochs,
            "budget": seconds(budget) if budget else None,
            "batch_size": batch_size,
            "seed": seed,
            "augment": augment,
            "freeze_backbone": freeze_backbone or None,
            "shards": shards,
            "sync": sync,
        }
        model, recipe, weights, size = _chosen(data, model, recipe, weights)
        if freeze_backbone and weights is None:
            raise ArgumentError("--freeze-backbone keeps weights as they are: name them with --weights.")
        run = _begun(
            with_blur(model, antialias),
            recipe,
            weights,
            given(options, settings or []),
            {"source": data, "skip_bad": skip_bad, "cache_size": cache_size},
            {"image_size": size if image_size is None else image_size, "fit": fit},
            {"out": out, "device": device, "threads": threads, "tensorboard": tensorboard},
        )
    _tell(run, json)


def _check_division(processes: int, shards: int | None, sync: str | None) -> None:
    """Refuse numbers that don't fit each other before any process starts."""
    from striate.hardware import pick
    from striate.processes import World
    from striate.runs.agreement import divided
    from striate.training import Recipe

    wanted = {name: value for name, value in (("shards", shards), ("sync", sync)) if value is not None}
    divided(Recipe(**wanted), World(size=processes), pick("auto"))


def _begun(
    model: str,
    recipe: str,
    weights: str | None,
    changes: dict[str, Any],
    source: dict[str, Any],
    resizing: dict[str, Any],
    options: dict[str, Any],
) -> "Run":
    """Train a model from the beginning.

    Args:
        model: its name, with options.
        recipe, weights, changes: how it is trained, and from which weights.
        source: the data, and how it is read, as for `load`.
        resizing: what the command says of the images' size and fit.
        options: other arguments of `runs.train`.
    """
    from striate import models, runs
    from striate.cli.progress import Progress, loading
    from striate.data import load
    from striate.training import chosen
    from striate.units import bytes_of

    name, _ = models.parse(model)
    if weights == models.PRETRAINED:
        fetch_weights(name)
    fitted = chosen(recipe, changes, name).head == "fitted"  # a mistake here shows before the data is read
    if source["cache_size"] is not None:
        source = {**source, "cache_size": bytes_of(source["cache_size"])}
    with loading() as report:
        dataset = load(**source, progress=report, **asked(runs.wanted_input(model, weights, fitted), **resizing))
    with Progress() as progress:
        return runs.train(model, dataset, recipe, weights=weights, observer=progress, **options, **changes)


def asked(wanted: Mapping[str, Any], image_size: int | None, fit: str | None) -> dict[str, Any]:
    """Arguments of `load`: those that the model wants, replaced by what the command says."""
    options = dict(wanted)
    if image_size is not None:
        options["image_size"] = image_size
    if fit is not None:
        options = {key: value for key, value in options.items() if key != "crop"} | {"fit": fit}
    return options


def _chosen(
    data: str, model: str | None, recipe: str | None, weights: str | None
) -> tuple[str, str, str | None, int | None]:
    """The model, the recipe, the weights to begin with and the image size, with defaults for what is not given."""
    from striate.models import BACKBONE, PRETRAINED
    from striate.runs.defaults import usual

    if model is None and weights is None and recipe is None:
        found = usual(data)
        if found.note:
            say(found.note)
        return found.model, found.recipe, found.weights, found.image_size
    if recipe == "transfer":
        return model or BACKBONE, recipe, weights or PRETRAINED, None
    usual_recipe = "fine-tune" if weights else "modern" if model or data == "digits" else "fast"
    return model or ("lenet5" if data == "digits" else "quicknet_m"), recipe or usual_recipe, weights, None


def _refuse_settings(context: typer.Context) -> None:
    """Refuse other options beside --resume: a resumed run keeps its own settings."""
    for name in set(context.params) - {"resume", "device", "tensorboard", "processes", "json"}:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ArgumentError(
                f"--resume continues a run with its own settings: leave out {name}, or train anew without --resume."
            )


def given(options: Mapping[str, float | str | None], settings: Iterable[str]) -> dict[str, float | str]:
    """Recipe settings from options and from key=value with --set."""
    changes: dict[str, float | str] = {key: value for key, value in options.items() if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ArgumentError(f"--set {setting}: write it as key=value, for example --set learning_rate=0.01.")
        if key.strip() in changes:
            raise ArgumentError(f"--set {setting}: {key.strip()} is given twice; leave one of them out.")
        changes[key.strip()] = value.strip()
    return changes


def _tell(run: "Run", json: bool) -> None:
    result = run.result or {}
    if json:
        show_json(result)
        return
    if "accuracy" in result:
        top_five = f", top-five error {result['top5_error']:.2%}" if len(run.classes) > 5 else ""
        tta = result.get("tta", "none")  # runs of before have none
        views = "" if tta == "none" else f", averaged over views ({tta})"
        show(
            f"{result['model']} on {result['data']}: {result['split']} accuracy {result['accuracy']:.2%} "
            f"of {result['n']:,} images{top_five}{views}"
        )
    else:
        show(f"{result['model']} on {result['data']}: trained; the data has no held-out images to measure it on")
    say(f"The run is in {run.path}. Next: striate report {run.path}")
