"""`striate describe`: what a network is made of."""

from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.antialias import HELP, with_blur

if TYPE_CHECKING:
    from torch import nn

    from striate.runs import Run


def describe(
    target: Annotated[str, typer.Argument(metavar="MODEL|RUN", help="A model's name, or a run's folder.")],
    classes: Annotated[int | None, typer.Option(help="How many classes a model tells apart; 10 if not given.")] = None,
    channels: Annotated[int | None, typer.Option(help="1 for grey images (if not given), 3 for colour.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; if not given, the model's own, or 28.")
    ] = None,
    antialias: Annotated[bool, typer.Option("--antialias", help=HELP)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """Print a network's layers: sizes, windows, activations, parameters, connections and multiply-adds."""
    from striate.cli.console import show, show_json
    from striate.errors import ArgumentError
    from striate.inspection import describe as describe_model

    if as_json and as_markdown:
        raise ArgumentError("--json and --markdown: choose one of them.")
    table = describe_model(_subject(target, antialias, classes, channels, image_size))
    if as_json:
        show_json(table.to_dict())
    else:
        show(table.markdown() if as_markdown else table.text())


def _subject(
    target: str, antialias: bool, classes: int | None, channels: int | None, image_size: int | None
) -> "nn.Module | Run":
    """The run in a folder of this name, or else the model; a folder that is no run does not hide a model."""
    from pathlib import Path

    from striate import models
    from striate.errors import ArgumentError
    from striate.runs import Run

    folder = Path(target)
    if folder.is_dir() and (target not in models.names() or (folder / "run.json").exists()):
        if antialias or (classes, channels, image_size) != (None, None, None):
            raise ArgumentError(
                f"{target} is a run and has its own classes, channels, image size and blur: leave out "
                "--classes, --channels, --image-size and --antialias, or name a model."
            )
        return Run.open(folder)
    target = with_blur(target, antialias)
    facts = models.facts(target)
    return models.create(
        target,
        10 if classes is None else classes,
        1 if channels is None else channels,
        (facts.image_size or 28) if image_size is None else image_size,
    )
