"""The same weights in the same network with a blur before its steps down, or, of one that has it, without."""

from dataclasses import replace

from torch import nn

from striate.layers import DEFAULT_FILTER
from striate.runs import Run


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
