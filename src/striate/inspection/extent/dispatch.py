"""Dispatch mode that follows every operation of a network and computes the image extent of its output.

Operations are met where PyTorch dispatches them, as some dozens of basic ones. So it makes no difference whether a
network writes `x + y`, `torch.add` or calls a module, and nothing has to be traced symbolically.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from striate.inspection.extent.extent import Extent
from striate.inspection.extent.rules import Operation, arguments, moves, name_of, rule_of, tensors

View = Callable[[Tensor], Tensor]


class ExtentTracker(TorchDispatchMode):
    """Context that computes the image extent of every tensor as it is made.

    Tensors are identified by their `id`; they are kept alive, so that no other takes the place of one.

    Args:
        image: (N, C, H, W), what the network is called with.
    """

    def __init__(self, image: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        self._extents: dict[int, tuple[Tensor, Extent | None]] = {id(image): (image, Extent.image(image.shape))}
        self._views: dict[int, tuple[Tensor, Tensor, View]] = {}  # id -> a view, what it shows, and how

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch would keep its compiler out of here, and import all of it for that, which takes seconds.
        return False

    def extent(self, tensor: Tensor) -> Extent | None:
        """The extent of the tensor's cells; `None` behind an operation whose dependencies are unknown."""
        return self._extents[id(tensor)][1] if id(tensor) in self._extents else Extent.nothing(tensor.shape)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if func.is_view and moves(func):
            for position, output in enumerate(outputs):
                self._views[id(output)] = (output, args[0], partial(_part, func, args[1:], kwargs, position))
        if any(id(leaf) in self._extents for leaf in tree_leaves((args, kwargs))):
            for output, extent in zip(outputs, self._output_extents(func, args, kwargs, outputs), strict=True):
                self._extents[id(output)] = (output, extent)
                if func._schema.is_mutable:
                    self._write_through(output, extent)
        return made

    def _output_extents(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], outputs: Sequence[Tensor]
    ) -> list[Extent | None]:
        """Extents of the outputs of an operation."""
        if any(self._extents.get(id(leaf), (None, True))[1] is None for leaf in tree_leaves((args, kwargs))):
            return [None] * len(outputs)
        if moves(func):
            return self._moved(func, args, kwargs)
        rule = rule_of(func)
        if rule is None:
            return [None] * len(outputs)
        given = arguments(func, args, kwargs)
        extents = {name: self._extent_of(tensor) for name, tensor in tensors(given).items()}
        extent = rule(Operation(given, extents, tuple(outputs[0].shape)))
        return [extent if output.shape == outputs[0].shape else None for output in outputs]

    def _moved(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Extent | None]:
        """Extents of an operation that only moves cells: their edges are moved likewise."""
        joined = name_of(func) in ("cat", "stack")  # all their tensors hold cells, elsewhere unknown ones are indices

        def instead(leaf: Any, edge: int) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            return self._extent_of(leaf).full(edge).contiguous() if joined or id(leaf) in self._extents else leaf.cpu()

        def result(edge: int) -> list[Tensor]:
            replace = partial(instead, edge=edge)
            return tree_leaves(func(*tree_map(replace, list(args)), **tree_map(replace, dict(kwargs))))

        first = next(self._extent_of(leaf) for leaf in tree_leaves((args, kwargs)) if id(leaf) in self._extents)
        if name_of(func) == "slice":
            given = arguments(func, args, kwargs)
            axis = given.get("dim", 0) % len(first.shape) - len(first.shape)
            first = first.stepped(axis, given.get("step", 1))
        elif name_of(func) in ("permute", "transpose"):
            first = first.permuted(_order(len(first.shape), arguments(func, args, kwargs)))
        return [Extent.of(edges, first.steps, first.axes) for edges in zip(*map(result, range(4)), strict=True)]

    def _write_through(self, view: Tensor, extent: Extent | None) -> None:
        """Write a view's new extent into the tensor that it shows."""
        if id(view) not in self._views:
            return
        _, parent, show = self._views[id(view)]
        whole = self.extent(parent)
        if extent is not None and whole is not None:
            edges = [whole.full(edge).clone(memory_format=torch.contiguous_format) for edge in range(4)]
            for edge, part in zip(edges, map(extent.full, range(4)), strict=True):
                show(edge).copy_(part)
            whole = Extent.of(edges, whole.steps, whole.axes)
        else:
            whole = None
        self._extents[id(parent)] = (parent, whole)
        self._write_through(parent, whole)

    def _extent_of(self, tensor: Tensor) -> Extent:
        """The extent of a tensor that is known to have one."""
        return self.extent(tensor) or Extent.nothing(tensor.shape)


def _order(count: int, given: Mapping[str, Any]) -> list[int]:
    """The old positions of the axes, `count` in all, in the order that "permute" or "transpose" gives them."""
    if "dims" in given:
        return [int(axis) for axis in given["dims"]]
    order, one, other = list(range(count)), given["dim0"], given["dim1"]
    order[one], order[other] = order[other], order[one]
    return order


def _part(func: Any, rest: Sequence[Any], kwargs: Mapping[str, Any], position: int, tensor: Tensor) -> Tensor:
    """One output of a view operation on the tensor."""
    part: Tensor = tree_leaves(func(tensor, *rest, **kwargs))[position]
    return part
