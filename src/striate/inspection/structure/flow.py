"""Flow of an image through a network: which layers take what others give, sums and concatenations among them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import like, taking
from striate.inspection.structure.trace import INPUT, layers_of, uncompiled
from striate.models import evaluating

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
