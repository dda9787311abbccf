"""`striate show pooling` and `striate show depthwise`: experiments on pooling, computed and drawn."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.console import say, show, show_json
from striate.cli.options import Json, Source


def pooling(
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("pooling.html"),
    json: Json = False,
) -> None:
    """Show the effect of pooling on a shifted picture: what stays equal, what aliases, what is destroyed."""
    from striate.inspection.studies.pooling import pooling_effects
    from striate.reports.study_pages import report_pooling

    path = report_pooling(study := pooling_effects(), out)
    if json:
        show_json(study.to_dict())
    else:
        show(study.text())
    say(f"The page is {path}.")


def depthwise(
    data: Source = "digits",
    change: Annotated[
        str, typer.Option(help="How the images are changed: rotation, shift, scale, thickness or brightness.")
    ] = "rotation",
    seeds: Annotated[int, typer.Option(help="How often each network is trained, 1 to 10.")] = 3,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("depthwise.html"),
    json: Json = False,
) -> None:
    """Show how pooling across channels learns invariance: templates in groups become changed copies of each other."""
    from striate.cli.progress import loading
    from striate.inspection.studies.depthwise import depthwise_study
    from striate.inspection.studies.depthwise_text import depthwise_dict, depthwise_text
    from striate.reports.rendering import file_to_write
    from striate.reports.study_pages import report_depthwise

    file_to_write(out, "depthwise.html")  # says now if it can't, and not after minutes of training
    with loading() as report:
        study = depthwise_study(data, change, seeds, progress=report)
    path = report_depthwise(study, out)
    if json:
        show_json(depthwise_dict(study))
    else:
        show(depthwise_text(study))
    say(f"The page is {path}.")
