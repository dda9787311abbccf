"""`striate train`: learn, show how it goes, leave a run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from striate.cli.antialias import HELP, with_blur
from striate.cli.console import say, show, show_json
from striate.errors import ArgumentError

if TYPE_CHECKING:
    from striate.preprocess import Fit
    from striate.runs import Run
    from striate.training import Recipe


def train(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model's name, as 'striate describe' takes it.")] = "lenet5",
    data: Annotated[str, typer.Option(help="digits, mnist, fashion-mnist, or a folder of images.")] = "digits",
    recipe: Annotated[str, typer.Option(help="modern, or paper: what the authors did.")] = "modern",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step.")] = None,
    seed: Annotated[int | None, typer.Option(help="What everything random is drawn from.")] = None,
    augment: Annotated[str | None, typer.Option(help="Augmentation, e.g. 'flip,shift=0.1', or 'none'.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any other recipe setting, as key=value.")] = None,
    antialias: Annotated[bool, typer.Option("--antialias", help=HELP)] = False,
    image_size: Annotated[int | None, typer.Option(help="Side of the network's input, in pixels.")] = None,
    fit: Annotated[str, typer.Option(help="Mixed sizes: letterbox, crop or stretch.")] = "letterbox",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out files that can't be decoded.")] = False,
    out: Annotated[Path | None, typer.Option(help="The run's folder; a new one under runs/ if not given.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[Path | None, typer.Option(help="Continue this run; its own settings hold.")] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train a model on images. With no argument: LeNet-5 on scikit-learn's handwritten digits."""
    from striate import runs
    from striate.cli.progress import Progress

    if resume is not None:
        _refuse_settings(context)
        with Progress() as progress:
            run = runs.resume(resume, device=device, tensorboard=tensorboard, observer=progress)
    else:
        from striate import models
        from striate.cli.progress import loading
        from striate.data import load
        from striate.training import recipe as named

        model = with_blur(model, antialias)
        facts = models.facts(model)
        options = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "augment": augment}
        _with_settings(named(recipe, model), options, settings or [])  # a mistake here shows before the data is read
        with loading() as report:
            size = facts.image_size if image_size is None else image_size
            dataset = load(data, image_size=size, fit=cast("Fit", fit), skip_bad=skip_bad, progress=report)
        chosen = _with_settings(named(recipe, model, len(dataset.train)), options, settings or [])
        with Progress() as progress:
            run = runs.train(model, dataset, chosen, out=out, device=device, tensorboard=tensorboard, observer=progress)
    _tell(run, json)


def _refuse_settings(context: typer.Context) -> None:
    """A resumed run's own settings hold: say so rather than ignore another."""
    for name in set(context.params) - {"resume", "device", "tensorboard", "json"}:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ArgumentError(
                f"--resume continues a run with its own settings: leave out {name}, or train anew without --resume."
            )


def _with_settings(recipe: "Recipe", options: dict[str, int | str | None], settings: list[str]) -> "Recipe":
    return recipe.replace(**given(options, settings))


def given(options: Mapping[str, float | str | None], settings: Iterable[str]) -> dict[str, float | str]:
    """The recipe settings that were given, as options of their own or as key=value with --set."""
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
        show(
            f"{result['model']} on {result['data']}: {result['split']} accuracy {result['accuracy']:.2%} "
            f"of {result['n']:,} images{top_five}"
        )
    else:
        show(f"{result['model']} on {result['data']}: trained; the data has no held-out images to measure it on")
    say(f"The run is in {run.path}. Next: striate report {run.path}")
