"""Division of work among processes, and sums of many parts in an order that does not depend on how it is divided."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Branch = tuple[int, int]  # of the tree that adds: the first of its parts, and the one after the last


def shares(things: int, processes: int) -> list[range]:
    """Each process's share of so many things, consecutive ones: the first shares have one more where it must be."""
    sizes = [things // processes + (rank < things % processes) for rank in range(processes)]
    return [range(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]


def branches(parts: int, share: range) -> list[Branch]:
    """The largest branches of the tree that adds so many parts, of which all parts lie in a share."""

    def within(first: int, last: int) -> list[Branch]:
        if share.start <= first and last <= share.stop:
            return [(first, last)]
        if last <= share.start or share.stop <= first:
            return []
        middle = (first + last) // 2
        return within(first, middle) + within(middle, last)

    return within(0, parts)


def tree_sum(branch: Branch, make: "Callable[[Branch], Sequence[Tensor] | None]") -> "Sequence[Tensor]":
    """The sum of a branch: what `make` gives for it, or else the sum of its first half plus that of its second.

    Args:
        branch: one that has parts.
        make: from a branch to its sum, tensors which may be overwritten; `None` where only its parts are known.
    """
    found = make(branch)
    if found is not None:
        return found
    first, last = branch
    middle = (first + last) // 2
    left = tree_sum((first, middle), make)
    for tensor, other in zip(left, tree_sum((middle, last), make), strict=True):
        tensor.add_(other)
    return left
