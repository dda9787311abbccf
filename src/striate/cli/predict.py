"""`striate predict`: classes and probabilities of image files."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import show, show_json
from striate.cli.options import Device, Json, RunFolder, TestTimeAugmentation


def predict(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files of any size.")],
    top: Annotated[int, typer.Option(help="How many classes to list for each image.")] = 5,
    tta: TestTimeAugmentation = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Classify images: the most probable classes of each, with their probabilities."""
    from striate import evaluation

    predictions = evaluation.predict(run, images, top=top, device=device, tta=tta)
    if json:
        show_json({"predictions": [each.to_dict() for each in predictions]})
    else:
        show(evaluation.predictions_text(predictions))
