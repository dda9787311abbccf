"""The network that is asked about, and what it takes."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from striate.errors import ArgumentError, ShapeError
from striate.models import Architecture
from striate.runs import Run


def module_of(model: nn.Module | Run) -> nn.Module:
    """The module itself, or of a run its model made afresh.

    Raises:
        ArgumentError: for TorchScript, lazy modules without a shape, and runs whose model Striate did not make.
    """
    if isinstance(model, Run):
        if model.architecture is None:
            raise ArgumentError(
                f"{model.path} was trained from a module of yours: describe that module, with its input_shape."
            )
        return model.fresh_model()
    wrapped = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    module = wrapped if isinstance(wrapped, nn.Module) else model
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        raise ArgumentError("TorchScript hides its layers: describe the module that it was made from.")
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise ArgumentError(
            f"{type(module).__name__} has lazy layers without a shape yet: run one batch through it first."
        )
    return module


def architecture_of(module: nn.Module) -> Architecture | None:
    """How Striate made the module, if it did."""
    made = getattr(module, "architecture", None)
    return made if isinstance(made, Architecture) else None


def input_shape_of(module: nn.Module, given: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Channels, height and width of its images: as given, or for a model that Striate made, its own.

    Raises:
        ArgumentError: if they are neither given nor known.
        ShapeError: if they are no such numbers.
    """
    architecture = architecture_of(module)
    if given is None:
        if architecture is None:
            raise ArgumentError(
                f"{type(module).__name__} does not say what it takes: pass input_shape=(channels, height, width)."
            )
        return (architecture.channels, *architecture.image_size)
    if len(given) != 3 or min(given) < 1:
        raise ShapeError(f"input_shape={given}: expected (channels, height, width), each at least 1.")
    return (given[0], given[1], given[2])
