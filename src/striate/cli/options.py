"""Options and arguments that several commands share, declared once, and the network that MODEL|RUN names."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import ArgumentError

if TYPE_CHECKING:
    from torch import nn

    from striate.runs import Run


def _set_max_pixels(pixels: int | None) -> int | None:
    """Pass the limit on to all that decodes, processes of its own among them."""
    if pixels is not None:
        os.environ["STRIATE_MAX_PIXELS"] = str(pixels)
    return pixels


_SOURCE = "digits, mnist, fashion-mnist, a folder of images, {train,val}-0.tar, or hf:NAME."

TrainedModel = Annotated[
    str,
    typer.Argument(metavar="RUN|MODEL", help="The run's folder, or a model with ImageNet weights: efficientnet_lite0."),
]
RunFolder = Annotated[Path, typer.Argument(help="The run's folder.")]
ModelOrRun = Annotated[str, typer.Argument(metavar="MODEL|RUN", help="A model's name, or a run's folder.")]
SourceArgument = Annotated[str, typer.Argument(help=_SOURCE)]
Source = Annotated[str, typer.Option(help=_SOURCE)]
OtherData = Annotated[str | None, typer.Option(help="Other data to measure it on; classes match by name.")]
ImageSize = Annotated[int | None, typer.Option(help="Height and width of the network's input, in pixels.")]
Fit = Annotated[str, typer.Option(help="Images of other proportions: letterbox, crop or stretch.")]
OwnFit = Annotated[
    str | None,
    typer.Option(help="Images of other proportions: letterbox, crop or stretch; if not given, as --weights expect."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that can't be decoded.")]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1,
        envvar="STRIATE_MAX_PIXELS",
        expose_value=False,
        callback=_set_max_pixels,
        help="Refuse images of which more pixels are decoded at once; 178,956,970 if not given.",
    ),
]
CacheSize = Annotated[str | None, typer.Option(help="Disk space for decoded images, e.g. 8GB; 0 keeps none.")]
Classes = Annotated[int | None, typer.Option(help="How many classes a model distinguishes; 10 if not given.")]
Channels = Annotated[int | None, typer.Option(help="1 for grey images (if not given), 3 for colour.")]
Antialias = Annotated[
    bool, typer.Option("--antialias", help="Blur before every stride, so that small shifts change less (Zhang 2019).")
]
Augment = Annotated[str | None, typer.Option(help="Augmentation policy, e.g. 'flip,shift=0.1', or 'none'.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Any other recipe setting, as key=value.")]
TestTimeAugmentation = Annotated[
    str | None,
    typer.Option(
        help="Views to average: none, flip, shifts, ten-crop; or several: flip,shifts. By default the recipe's."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
EngineName = Annotated[str, typer.Option("--engine", help="auto, torch, onnxruntime or openvino.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16 where the processor has it.")]
Processes = Annotated[
    int | None, typer.Option(help="Processes on this machine that do it together; see docs/scale.md.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def fetch_weights(model: str) -> None:
    """Download the published weights of a model that is named instead of a run, unless they are here already."""
    from striate.cli.progress import loading
    from striate.models import located, parse
    from striate.runs.trained import is_model_name

    if is_model_name(model):
        with loading() as report:
            located(parse(model)[0], report)


def with_blur(model: str, antialias: bool) -> str:
    """Add the option that --antialias stands for to a model's name."""
    if not antialias:
        return model
    if "antialias=" in model:
        raise ArgumentError(f"--antialias and {model}: the blur is asked for twice; leave one of them out.")
    return f"{model}{',' if ':' in model else ':'}antialias=true"


def network_of(
    target: str, antialias: bool, classes: int | None, channels: int | None, image_size: int | None
) -> "nn.Module | Run":
    """Open the run in a folder of this name, or else create the model."""
    from striate.runs import Run, opened

    network = opened(with_blur(target, antialias), classes, channels, image_size)
    if isinstance(network, Run) and (antialias or (classes, channels, image_size) != (None, None, None)):
        raise ArgumentError(
            f"{target} is a run and has its own classes, channels, image size and blur: leave out "
            "--classes, --channels, --image-size and --antialias, or name a model."
        )
    return network
