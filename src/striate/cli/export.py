"""`striate export`: a run as a file that other programs run, verified before it is kept."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import say, show, show_json
from striate.cli.options import Json, MaxPixels, OtherData, TrainedModel, fetch_weights


def export(
    run: TrainedModel,
    to: Annotated[str, typer.Option(help="The format: onnx, openvino, web for a page, or hf for the hub.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file; model.onnx, .xml or .html in the run's folder, or NAME.onnx … here, if not given."
        ),
    ] = None,
    input: Annotated[
        str, typer.Option(help="image: pictures of any size; tensor: those of the network's own size only.")
    ] = "image",
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit integers: a quarter of the size, calibrated on training images.")
    ] = False,
    max_loss: Annotated[float, typer.Option(help="Percentage points of accuracy that --int8 may lose.")] = 0.5,
    data: OtherData = None,
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Write a file that carries preprocessing and classes, once it has answered as the run does.

    predict and evaluate take the file in place of the run.
    """
    from striate import exporting

    fetch_weights(run)
    result = exporting.export(run, to, out=out, input=input, int8=int8, max_loss=max_loss, data=data)  # type: ignore[arg-type]
    for note in result.notes:
        say(note)
    if json:
        show_json(result.to_dict())
    else:
        show(result.text())
