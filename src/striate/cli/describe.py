"""`striate describe`: what a network is made of."""

from typing import Annotated

import typer

from striate.cli.target import HELP, network_of


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
    table = describe_model(network_of(target, antialias, classes, channels, image_size))
    if as_json:
        show_json(table.to_dict())
    else:
        show(table.markdown() if as_markdown else table.text())
