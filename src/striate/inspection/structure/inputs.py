"""The inspected network and its inputs: unwrapping, shapes, devices and error messages."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from striate.errors import ArgumentError, ShapeError
from striate.models import Architecture
from striate.runs import Run
from striate.units import by, listed

MOST_NAMES = 30  # of the layers that an error lists


def module_of(model: nn.Module | Run) -> nn.Module:
    """Return the module itself, or for a run a new instance of its model.

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
    """The Architecture that Striate made the module from, or `None` for a foreign module."""
    made = getattr(module, "architecture", None)
    return made if isinstance(made, Architecture) else None


def input_shape_of(module: nn.Module, given: tuple[int, int, int] | None) -> tuple[int, int, int]:
    """Channels, height and width of the images: as given, or those of a model that Striate made.

    Raises:
        ArgumentError: if they are neither given nor known.
        ShapeError: if they are no such numbers.
    """
    architecture = architecture_of(module)
    if given is None:
        if architecture is None:
            raise ArgumentError(
                f"{type(module).__name__} has no known input shape: pass input_shape=(channels, height, width)."
            )
        return (architecture.channels, *architecture.image_size)
    if len(given) != 3 or min(given) < 1:
        raise ShapeError(f"input_shape={given}: expected (channels, height, width), each at least 1.")
    return (given[0], given[1], given[2])


def input_of(module: nn.Module, images: Tensor) -> Tensor:
    """The images on the module's device and in its floating-point type.

    Raises:
        ShapeError: if they are no batch of floating-point images.
    """
    if images.dim() != 4 or not images.is_floating_point() or 0 in images.shape:
        raise ShapeError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}: expected a batch of images, normalised, "
            "floating (N, channels, height, width)."
        )
    return images.detach().to(like(module))


def like(module: nn.Module) -> Tensor:
    """A tensor on the device and of the type that the module's weights have."""
    return next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))


@contextmanager
def taking(module: nn.Module, shape: tuple[int, ...]) -> Iterator[None]:
    """Context for calling the module on images of this shape, (channels, height, width): failures raise ShapeError."""
    try:
        yield
    except Exception as error:
        made = architecture_of(module)
        right = (
            f"It is made for {by((made.channels, *made.image_size))}" if made else "Pass the size that it is made for"
        )
        raise ShapeError(
            f"{type(module).__name__} can't take an image of {by(shape)} (channels×height×width): "
            f"{str(error).rstrip('.')}. {right}."
        ) from error


def layer_at(module: nn.Module, layer: str) -> nn.Module:
    """The layer, or block of layers, at this path.

    Raises:
        ArgumentError: naming the layers there are, the nearest names first.
    """
    layers = {path: each for path, each in module.named_modules() if path}
    if layer not in layers:
        raise ArgumentError(f"{type(module).__name__} has no layer '{layer}'. It has {named(layers, layer)}.")
    return layers[layer]


def named(layers: Iterable[str], near: str = "") -> str:
    """Layer names for an error message: the most similar to `near` first, and at most `MOST_NAMES`."""
    names = list(layers)
    if near:
        names.sort(key=lambda name: -difflib.SequenceMatcher(None, near, name).ratio())
    return listed(names, MOST_NAMES) or "none"
