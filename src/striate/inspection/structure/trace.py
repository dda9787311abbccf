"""Trace of one image through a network: each layer call with its receptive field; and the flow from layer to layer."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
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


# Operations that join branches, and what a picture calls them; others go by their own name.
_JOINS = {"add": "+", "add_": "+", "cat": "concatenate", "mul": "×", "mul_": "×"}


@dataclass(frozen=True)
class Step:
    """One layer, or an operation that joins several branches.

    Args:
        label: the layer's kind, or "+", "×" or "concatenate".
        name: the layer's path; empty for an operation.
        module: the layer; `None` for an operation.
        sources: the positions of the steps whose outputs it takes, `INPUT` for the image.
        output_shape: of its output, with the batch; empty without one.
    """

    label: str
    name: str
    module: nn.Module | None
    sources: tuple[int, ...]
    output_shape: tuple[int, ...]


def flow(model: nn.Module, input_shape: tuple[int, int, int]) -> list[Step]:
    """Follow one image of zeros through a network; the model stays as it was.

    Activations, normalisation, dropout and layers that return their input unchanged are left out: what takes their
    output takes their input.

    Args:
        model: any network.
        input_shape: channels, height, width.

    Returns:
        The steps, each after those whose outputs it takes.

    Raises:
        ShapeError: if the model can't take such an image.
    """
    weights = like(model)
    image = torch.zeros(1, *input_shape, device=weights.device, dtype=weights.dtype)
    sources = _Sources(image)
    handles = []
    with evaluating(model), torch.no_grad():
        try:
            for name, layer in layers_of(model):
                handles += sources.hook(name, layer)
            with taking(model, input_shape), uncompiled(), sources:
                model(image)
        finally:
            for handle in handles:
                handle.remove()
    return sources.steps


class _Sources(TorchDispatchMode):
    """Record, for every tensor, of which steps' outputs it was computed."""

    def __init__(self, image: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._known: dict[int, tuple[Tensor, frozenset[int]]] = {id(image): (image, frozenset((INPUT,)))}
        self._taken: list[frozenset[int]] = []  # by the layers that are being computed

    def hook(self, name: str, module: nn.Module) -> list[Any]:
        """Record a layer's calls until the handles are removed."""

        def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._taken.append(self._of(_tensors((args, kwargs))))

        def end(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            taken = self._taken.pop()
            given = list(_tensors(output))
            if not self._taken and given and _is_drawn(module, given, list(_tensors((args, kwargs)))):
                taken = self._added(Step(_label(module), name, module, tuple(sorted(taken)), tuple(given[0].shape)))
            for tensor in given:
                self._known[id(tensor)] = (tensor, taken)

        return [
            module.register_forward_pre_hook(begin, with_kwargs=True),
            module.register_forward_hook(end, with_kwargs=True),
        ]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the result of an operation, and note of what it was computed."""
        inputs = list(_tensors((args, kwargs or {})))
        given = func(*args, **(kwargs or {}))
        known = {self._known[id(each)][1] for each in inputs if id(each) in self._known} - {frozenset()}
        found = frozenset().union(*known)
        outputs = list(_tensors(given))
        if len(known) > 1 and not self._taken and outputs:
            name = func.overloadpacket.__name__
            shape = tuple(outputs[0].shape)
            found = self._added(Step(_JOINS.get(name, name), "", None, tuple(sorted(found)), shape))
        for tensor in outputs:
            self._known[id(tensor)] = (tensor, found)
        return given

    def _added(self, step: Step) -> frozenset[int]:
        self.steps.append(step)
        return frozenset((len(self.steps) - 1,))

    def _of(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        return frozenset().union(*(self._known[id(each)][1] for each in tensors if id(each) in self._known))


def _is_drawn(module: nn.Module, given: list[Tensor], taken: list[Tensor]) -> bool:
    left_out = (*layer_kinds.NORMS, *layer_kinds.DROPOUTS, nn.Flatten, nn.Identity)
    if isinstance(module, left_out) or layer_kinds.activation(module) is not None:
        return False
    return given[0] is not (taken[0] if taken else None)


def _label(module: nn.Module) -> str:
    kind = layer_kinds.kind(module)
    return "+" if kind == "add" else kind


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
