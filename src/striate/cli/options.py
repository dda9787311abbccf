"""Options and arguments that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

_SOURCE = "digits, mnist, fashion-mnist, a folder of images, {train,val}-0.tar, or hf:NAME."

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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
