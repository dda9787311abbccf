"""`striate describe`: a network's architecture as a table, and as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import Antialias, Channels, Classes, Json, ModelOrRun, network_of


def describe(
    target: ModelOrRun,
    classes: Classes = None,
    channels: Channels = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width in pixels; if not given, the model's own, or 28.")
    ] = None,
    antialias: Antialias = False,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Draw the architecture into this file, as SVG, too.")] = None,
) -> None:
    """Print a network's layers: sizes, windows, activations, parameters, connections and multiply-adds."""
    from striate.cli.console import say, show, show_json
    from striate.errors import ArgumentError
    from striate.files import write_atomic
    from striate.inspection import architecture_svg
    from striate.inspection import describe as describe_model

    if as_json and as_markdown:
        raise ArgumentError("--json and --markdown: choose one of them.")
    network = network_of(target, antialias, classes, channels, image_size)
    table = describe_model(network)
    if svg is not None:
        write_atomic(svg, architecture_svg(network).encode())
        say(f"The picture of the architecture is {svg}.")
    if as_json:
        show_json(table.to_dict())
    else:
        show(table.markdown() if as_markdown else table.text())
