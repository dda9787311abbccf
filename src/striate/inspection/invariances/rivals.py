"""Networks to put beside a run's: its own with a blur or without, and another run's."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from striate.errors import DataError
from striate.hardware import pick
from striate.inspection.invariances.classifier import Answers, milliseconds
from striate.inspection.invariances.result import Invariance
from striate.layers import DEFAULT_FILTER
from striate.preprocess import Preprocess
from striate.runs import Run

Network = tuple[str, nn.Module, Preprocess]  # its name, itself in evaluation mode, and what makes images its input


def counterpart(run: Run) -> tuple[str, nn.Module] | None:
    """A run's network with its trained weights and without its blur; if it has none, with one. In evaluation mode.

    Returns:
        A name and the network, or `None` for a run whose model Striate did not make.

    Raises:
        ArgumentError: if the network has no layer to blur.
    """
    if run.architecture is None:
        return None
    name = f"{run.name} without its blur, same weights"
    options = {key: value for key, value in run.architecture.options.items() if key != "antialias"}
    if options == run.architecture.options:
        name = f"{run.name} with a blur, same weights"
        options["antialias"] = DEFAULT_FILTER
    return name, run.model(replace(run.architecture, options=options).make())


def rival(other: Run, run: Run) -> Network:
    """Another run's name, network and preprocessing.

    Raises:
        DataError: if it was trained on other classes.
    """
    if other.classes != run.classes:
        raise DataError(f"{other.path} tells other classes apart than {run.path}: compare runs on the same data.")
    return f"{other.name} ({other.path.absolute().name})", other.model(), other.preprocess


def timed_in_turns(
    found: Sequence[Invariance], networks: Sequence[Network], images: Tensor, device: str = "auto"
) -> list[Invariance]:
    """The same, with times that can be compared: minutes apart, a machine may be as busy as another one.

    Args:
        found: what `invariance` measured of each network.
        networks: in the same order.
        images: uint8 (N, H, W, C), of which one batch is timed.
        device: "auto", "cpu" or "cuda".
    """
    target = pick(device)
    answers = [Answers(model.to(target), preprocess, target) for _, model, preprocess in networks]
    times = milliseconds(answers, images)
    return [replace(each, milliseconds=time) for each, time in zip(found, times, strict=True)]
