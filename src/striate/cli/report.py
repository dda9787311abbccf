"""`striate report`: one HTML file that shows what a run learned."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import show


def report(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; RUN/report.html if not given.")] = None,
    data: Annotated[str | None, typer.Option(help="Other data to measure it on; classes match by name.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Write a report: result, curves, confusion matrix, worst mistakes, filters, architecture, how to reproduce it."""
    from striate import reporting

    show(str(reporting.report(run, out=out, data=data, device=device)))
