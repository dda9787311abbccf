"""`striate evaluate` and `striate predict`: a run's accuracy and other metrics, and its classes for image files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli import launch
from striate.cli.console import say, show, show_json
from striate.cli.launch import importing
from striate.cli.options import (
    Device,
    EngineName,
    Json,
    MaxPixels,
    OtherData,
    Precision,
    Processes,
    TestTimeAugmentation,
    TrainedModel,
    fetch_weights,
)

if TYPE_CHECKING:
    from striate.inference import ExportedFile
    from striate.runs import Trained


def evaluate(
    run: TrainedModel,
    data: OtherData = None,
    tta: TestTimeAugmentation = None,
    coverage: Annotated[
        float, typer.Option(help="How often prediction sets are to hold the right class, 0.5 to 0.99.")
    ] = 0.95,
    device: Device = "auto",
    engine: EngineName = "auto",
    precision: Precision = "float32",
    processes: Processes = None,
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Measure a run on images it was not trained on: accuracy, errors, calibration, and every class.

    RUN may be a file from export, too, with --data.
    """
    if launch.launched(processes):
        return
    with importing():
        from striate.evaluation import evaluate as measure

    fetch_weights(run)
    result = measure(
        run,
        data,
        device=device,
        tta=tta,
        coverage=coverage,
        engine=engine,
        precision=precision,  # type: ignore[arg-type]
    )
    for note in (*result.notes, *([result.uncalibrated] if result.uncalibrated else [])):
        say(note)
    if json:
        show_json(result.to_dict())
    else:
        show(result.text())


def network_of(run: str, engine: str = "auto", precision: str = "float32") -> "Trained | ExportedFile":
    """Open an exported file without PyTorch, or else what RUN names."""
    from striate.inference.exported_file import ExportedFile, is_exported_file

    if is_exported_file(run):
        return ExportedFile.open(run, engine, precision)  # type: ignore[arg-type]
    with importing():
        from striate.runs import Trained

    fetch_weights(run)
    return Trained.of(run)


def _limit_threads(network: "Trained | ExportedFile", images: list[str], device: str) -> None:
    """Take no more threads than have enough to do with a few image files: beside other work they would wait."""
    from striate.inference.exported_file import ExportedFile

    if (
        isinstance(network, ExportedFile)
        or network.file is not None
        or not all(Path(name).is_file() for name in images)
    ):
        return
    import torch

    from striate.acceleration.threads import thread_limit
    from striate.hardware import has_thread_number, pick

    if not has_thread_number():
        one = torch.zeros(1, *network.input_shape)
        limit = thread_limit(network.module, one, len(images), pick(device))
        torch.set_num_threads(min(limit, torch.get_num_threads()))


def predict(
    run: TrainedModel,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Image files of any size, folders, patterns; - for a pipe.")
    ],
    top: Annotated[int, typer.Option(help="How many classes to list for each image.")] = 5,
    tta: TestTimeAugmentation = None,
    coverage: Annotated[
        float | None,
        typer.Option(help="Give sets of classes that hold the right one so often, 0.5 to 0.99, such as 0.95."),
    ] = None,
    device: Device = "auto",
    engine: EngineName = "auto",
    precision: Precision = "float32",
    processes: Processes = None,
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Classify images: the most probable classes of each, with their probabilities.

    With --coverage, the set of classes instead that holds the right one so often. RUN may be a file from export, too.
    """
    if launch.launched(processes):
        return
    from striate import evaluation
    from striate.data.images.any_image import STANDARD_INPUT

    network = network_of(run, engine, precision)
    _limit_threads(network, images, device)
    images = [STANDARD_INPUT if image == "-" else image for image in images]
    predictions = evaluation.predict(
        network,
        images,
        top=top,
        device=device,
        tta=tta,
        coverage=coverage,
        engine=engine,
        precision=precision,  # type: ignore[arg-type]
    )
    if reason := network.uncalibrated(tta):
        say(reason)
    if json:
        show_json({"predictions": [each.to_dict() for each in predictions]})
    else:
        show(evaluation.predictions_text(predictions))
