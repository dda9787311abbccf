"""Trace of one image through a network: every layer call, with its input, output and receptive field."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from striate.inspection.extent.dispatch import ExtentTracker
from striate.inspection.extent.field import Field, field_of
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import like, taking
from striate.models import evaluating

INPUT = -1  # the source of a call that takes the network's input


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Args:
        name: the module's path; empty for the network itself.
        input_shape, output_shape: shapes of its first input and output tensor; empty without one.
        source: the position of the call that made its input, `INPUT`, or `None` where something else came between.
        unchanged: its output is its input.
        field: receptive field of its output's units, or `None` where it is unknown.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    source: int | None
    unchanged: bool
    field: Field | None = None


class Trace:
    """Collector of layer calls, through hooks.

    The call that made a tensor is found by the tensor itself, kept alive, and its version.
    """

    def __init__(self, image: Tensor):
        self.calls: list[Call] = []
        self.tracker = ExtentTracker(image)
        self._size = (image.shape[-2], image.shape[-1])
        self._made: dict[int, tuple[Tensor, int, int]] = {}  # id -> the tensor, its version, the call that made it
        self._open: dict[int, tuple[Tensor | None, int | None, int]] = {}
        self._keep(image, INPUT)

    def hook(self, name: str, module: nn.Module) -> list[RemovableHandle]:
        """Record a layer's calls until the handles are removed."""

        def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
            taken = first_tensor((args, kwargs))
            self._open[id(module)] = (taken, self._source(taken), _version(taken))

        def end(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            taken, source, version = self._open.pop(id(module))
            given = first_tensor(output)
            unchanged = given is taken and _version(given) == version
            extent = None if given is None else self.tracker.extent(given)
            field = None if extent is None else field_of(extent, self._size)
            self.calls.append(Call(name, module, _shape(taken), _shape(given), source, unchanged, field))
            if given is not None:
                self._keep(given, len(self.calls) - 1)

        return [
            module.register_forward_pre_hook(begin, with_kwargs=True),
            module.register_forward_hook(end, with_kwargs=True),
        ]

    def _keep(self, tensor: Tensor, call: int) -> None:
        self._made[id(tensor)] = (tensor, tensor._version, call)

    def _source(self, tensor: Tensor | None) -> int | None:
        # `x += shortcut` gives the same tensor a new version: what it holds is then no longer what the call made.
        _, version, call = self._made.get(id(tensor), (None, None, None))
        return call if tensor is not None and version == tensor._version else None


def trace(model: nn.Module, input_shape: tuple[int, int, int], every: bool = False) -> list[Call]:
    """Trace all layer calls, in the order they end, for one image of zeros; the model stays as it was.

    Args:
        input_shape: channels, height, width.
        every: trace the modules that contain layers, too, but for the network itself.

    Raises:
        ShapeError: if the model can't take such an image.
    """
    weights = like(model)
    image = torch.zeros(1, *input_shape, device=weights.device, dtype=weights.dtype)
    record = Trace(image)
    handles: list[RemovableHandle] = []
    with evaluating(model), torch.no_grad():
        try:
            modules = [(name, module) for name, module in model.named_modules() if name] if every else []
            for name, layer in modules or layers_of(model):
                handles += record.hook(name, layer)
            with taking(model, input_shape), uncompiled(), record.tracker:
                model(image)
        finally:
            for handle in handles:
                handle.remove()
    return record.calls


def layers_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Path and module of every layer: a known layer kind or a module without children, each once, by its first path."""
    found: dict[int, tuple[str, nn.Module]] = {}

    def visit(path: str, module: nn.Module) -> None:
        children = list(module.named_children())
        if layer_kinds.is_layer(module) or not children:
            found.setdefault(id(module), (path, module))
            return
        for name, child in children:
            visit(f"{path}.{name}" if path else name, child)

    visit("", model)
    return list(found.values())


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return next((tensor for part in value if (tensor := first_tensor(part)) is not None), None)
    return None


def uncompiled() -> AbstractContextManager[Any]:
    """Context in which compiled parts run as they were written, so that their operations are seen."""
    used = "torch._dynamo" in sys.modules  # else nothing is compiled, and importing the compiler would take seconds
    return torch.compiler.set_stance("force_eager") if used else nullcontext()


def _version(tensor: Tensor | None) -> int:
    return -1 if tensor is None else tensor._version


def _shape(tensor: Tensor | None) -> tuple[int, ...]:
    return () if tensor is None else tuple(tensor.shape)
