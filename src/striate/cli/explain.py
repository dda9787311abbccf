"""`striate explain`: an HTML page that explains the prediction for one image."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import show
from striate.cli.options import Device, RunFolder


def explain(
    run: RunFolder,
    image: Annotated[Path, typer.Argument(help="An image file of any size.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; RUN/explain-NAME.html if not given.")] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer for Grad-CAM; by default the last one with feature maps.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Explain a prediction: attributions, receptive fields, feature maps and the most similar training images."""
    from striate import reports

    show(str(reports.explain(run, image, out=out, layer=layer, device=device)))
