"""`striate report` and `striate explain`: HTML pages about a run, and about its prediction for one image."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import show
from striate.cli.options import Device, MaxPixels, OtherData, RunFolder, TrainedModel, fetch_weights


def report(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="The file to write; RUN/report.html if not given.")] = None,
    data: OtherData = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Another run to compare shift consistency with; may be given several times."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Write a report: accuracy, mistakes, attributions, invariance, layers and how to reproduce the run."""
    from striate import reports
    from striate.cli.progress import loading

    with loading() as progress:
        path = reports.report(run, out=out, data=data, against=against or (), device=device, progress=progress)
    show(str(path))


def explain(
    run: TrainedModel,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image file of any size.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; explain-NAME.html in the run's folder if not given.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="The layer for Grad-CAM; by default the last one with feature maps.")
    ] = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
) -> None:
    """Explain a prediction: attributions, receptive fields, feature maps and the most similar training images."""
    from striate import reports

    fetch_weights(run)
    show(str(reports.explain(run, image, out=out, layer=layer, device=device)))
