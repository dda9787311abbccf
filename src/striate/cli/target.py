"""The argument MODEL|RUN of `describe` and `advise`."""

from typing import TYPE_CHECKING

from striate.errors import ArgumentError


def with_blur(model: str, antialias: bool) -> str:
    """Add the option that --antialias stands for to a model's name."""
    if not antialias:
        return model
    if "antialias=" in model:
        raise ArgumentError(f"--antialias and {model}: the blur is asked for twice; leave one of them out.")
    return f"{model}{',' if ':' in model else ':'}antialias=true"


if TYPE_CHECKING:
    from torch import nn

    from striate.runs import Run


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
