"""`striate evaluate`: how good a run is."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import say, show, show_json


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    data: Annotated[str | None, typer.Option(help="Other data to measure it on; classes match by name.")] = None,
    tta: Annotated[
        str | None,
        typer.Option(help="Average over views: none, flip, shifts, ten-crop; flip,shifts. If not given, the recipe's."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a run on images it was not trained on: accuracy, errors, calibration, and every class."""
    from striate import evaluation

    result = evaluation.evaluate(run, data, device=device, tta=tta)
    for note in result.notes:
        say(note)
    if json:
        show_json(result.to_dict())
    else:
        show(result.text())
