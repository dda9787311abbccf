"""Which maps are added to each other and so have to be as many: those of a residual block and those that enter it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate import layers
from striate.inspection.subject import like, taking
from striate.inspection.tracing import first_tensor, uncompiled
from striate.models import evaluating

Size = tuple[int, ...]

_MAKERS = (nn.Conv2d, layers.PartialConv2d, layers.PaddedShortcut)


class Ties(TorchDispatchMode):
    """A context in which is followed whose maps a tensor has: of which layer that decides on their number.

    Poolings, normalisations, activations and depthwise convolutions have those of their input. Where an operation takes
    two tensors and makes one with as many maps as both, the maps of both are tied.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._maps: dict[int, tuple[Tensor, str]] = {}  # id -> a tensor, kept alive, and whose maps it has
        self._groups: dict[str, frozenset[str]] = {}
        self._made: dict[str, str] = {}  # the path of a module -> whose maps its output has
        self._taken: dict[str, set[Size]] = defaultdict(set)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see `Follower`

    def tied(self, path: str) -> frozenset[str]:
        """The layers whose maps are added to those that this module makes, its own among them."""
        return self._groups.get(self._made.get(path, ""), frozenset())

    def taken(self, path: str) -> set[Size]:
        """The heights and widths at which these maps, or a sum with them, enter a convolution."""
        return set().union(*(self._taken[layer] for layer in self.tied(path)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = first_tensor(result)  # normalisations and poolings give statistics and places, too
        if made is not None and made.dim() == 4:
            taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.dim() == 4]
            alike = [self._maps[id(leaf)][1] for leaf in taken if id(leaf) in self._maps and _alike(leaf, made)]
            if alike:
                joined = frozenset().union(*(self._groups[layer] for layer in alike))
                self._groups |= dict.fromkeys(joined, joined)
                self._maps[id(made)] = (made, alike[0])
        return result

    def entered(self, module: nn.Module, taken: Tensor | None) -> None:
        """Note that a module takes a tensor."""
        if isinstance(module, nn.Conv2d) and id(taken) in self._maps and taken is not None:
            self._taken[self._maps[id(taken)][1]].add(tuple(taken.shape[2:]))

    def left(self, path: str, module: nn.Module, made: Tensor | None) -> None:
        """Note that a module made a tensor."""
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        if made is not None and isinstance(module, _MAKERS) and not depthwise:
            self._groups.setdefault(path, frozenset({path}))
            self._maps[id(made)] = (made, path)
        if id(made) in self._maps:
            self._made[path] = self._maps[id(made)][1]


def ties_of(model: nn.Module, shape: tuple[int, int, int]) -> Ties:
    """The ties of a network that takes images of (channels, height, width); it stays as it was."""
    ties, weights = Ties(), like(model)
    handles = []
    for path, module in model.named_modules():

        def begin(module: nn.Module, args: Any) -> None:
            ties.entered(module, first_tensor(args))

        def end(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            ties.left(path, module, first_tensor(output))

        handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    image = torch.zeros(1, *shape, device=weights.device, dtype=weights.dtype)
    try:
        with evaluating(model), torch.no_grad(), taking(model, shape), uncompiled(), ties:
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return ties


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape[1] == other.shape[1]
