"""`striate report`: an HTML page about a run."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import show
from striate.cli.options import Device, OtherData, RunFolder


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
