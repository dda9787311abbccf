"""`striate invariance`: invariance of a run's predictions under changes of the image."""

from pathlib import Path
from typing import Annotated

import typer

from striate.cli import launch
from striate.cli.console import say, show, show_json
from striate.cli.options import Device, Json, OtherData, Processes, RunFolder
from striate.errors import ArgumentError
from striate.processes import world


def invariance(
    run: RunFolder,
    data: OtherData = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another run, for the same images; may be given several times.")
    ] = None,
    images: Annotated[int, typer.Option(help="How many images, drawn from the held-out ones.")] = 1000,
    seed: Annotated[int, typer.Option(help="Random seed of images, shifts and noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The page to write; RUN/invariance.html if not given.")] = None,
    device: Device = "auto",
    processes: Processes = None,
    json: Json = False,
) -> None:
    """Measure how invariant a run is: to translation (Zhang 2019), rotation, scale, mirror, light and noise.

    It is compared with the same network and weights with a blur (or without, if it has one).
    """
    if launch.launched(processes):
        return
    from striate.cli.progress import loading
    from striate.evaluation.samples import samples_of
    from striate.inspection import invariance as measure
    from striate.inspection.invariances.classifier import counterpart, other_network, timed_in_turns
    from striate.inspection.invariances.result import comparison_text
    from striate.reports.invariance_page import report_invariance
    from striate.reports.rendering import file_to_write
    from striate.runs import Run, Trained

    if images < 2:
        raise ArgumentError(f"--images {images}: invariance is measured on 2 or more.")
    opened = Run.open(run)
    out = file_to_write(out or run / "invariance.html", "invariance.html")
    samples = samples_of(Trained.of(opened), data)
    notes = list(samples.notes)
    chosen, labels = samples.drawn(images, seed)
    networks = [(opened.name, opened.model(), opened.preprocess)]
    try:
        other = counterpart(opened)
    except ArgumentError as error:
        notes.append(f"Not compared with a blurred network: {error}")
        other = None
    networks += [(*other, opened.preprocess)] if other else []
    networks += [other_network(Run.open(path), opened.classes, str(opened.path)) for path in against or []]
    found = []
    for name, model, preprocess in networks:
        with loading() as report:
            found.append(
                measure(
                    model, chosen, labels, preprocess=preprocess, seed=seed, device=device, name=name, progress=report
                )
            )
    found = timed_in_turns(found, networks, chosen, device)
    source = f"{samples.source}, {samples.name}"
    if world().is_first:
        out = report_invariance(found, out, source=source, notes=notes)
    for note in notes:
        say(note)
    if json:
        show_json({"source": source, "networks": [each.to_dict() for each in found]})
    else:
        show("\n\n".join([found[0].text(), comparison_text(found)]))
    say(f"The page is {out}.")
