"""What `describe` and `advise` are asked about: a model by its name, or a run by its folder."""

from typing import TYPE_CHECKING

from striate.cli.antialias import with_blur

if TYPE_CHECKING:
    from torch import nn

    from striate.runs import Run


def subject(
    target: str, antialias: bool, classes: int | None, channels: int | None, image_size: int | None
) -> "nn.Module | Run":
    """The run in a folder of this name, or else the model; a folder that is no run does not hide a model."""
    from pathlib import Path

    from striate import models
    from striate.errors import ArgumentError
    from striate.runs import Run

    folder = Path(target)
    if folder.is_dir() and (target not in models.names() or (folder / "run.json").exists()):
        if antialias or (classes, channels, image_size) != (None, None, None):
            raise ArgumentError(
                f"{target} is a run and has its own classes, channels, image size and blur: leave out "
                "--classes, --channels, --image-size and --antialias, or name a model."
            )
        return Run.open(folder)
    target = with_blur(target, antialias)
    facts = models.facts(target)
    return models.create(
        target,
        10 if classes is None else classes,
        1 if channels is None else channels,
        (facts.image_size or 28) if image_size is None else image_size,
    )
