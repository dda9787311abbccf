"""`striate predict`: what a run sees in image files."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import show, show_json


def predict(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files of any size.")],
    top: Annotated[int, typer.Option(help="How many classes to list for each image.")] = 5,
    tta: Annotated[
        str | None,
        typer.Option(help="Average over views: none, flip, shifts, ten-crop; flip,shifts. If not given, the recipe's."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Classify images: the most probable classes of each, with their probabilities."""
    from striate import evaluation

    predictions = evaluation.predict(run, images, top=top, device=device, tta=tta)
    if json:
        show_json({"predictions": [each.to_dict() for each in predictions]})
    else:
        show(evaluation.predictions_text(predictions))
