"""Image extents: the rectangle of pixels that each cell of a tensor depends on, by exact interval arithmetic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

NOTHING = math.inf  # the edges of a cell that sees no pixel: they lose every minimum
MISSING = torch.iinfo(torch.int64).min  # index of a cell that does not exist, not even as padding


@dataclass(frozen=True)
class Extent:
    """Extent of every cell of a tensor: the smallest rectangle that holds all pixels it depends on.

    The rectangle goes on beyond the image where a window lies over padding, as if the image did.

    Args:
        shape: the tensor's.
        edges: top, minus bottom, left, minus right: float64, each of a shape that broadcasts to `shape`. With these
            signs, a union is always a minimum. Top and left are pixels inside, bottom and right the first outside.
        steps: pixels from a cell to the next, down and to the right; `None` where that is not one number. Needed where
            an axis has one cell only, whose neighbours in the padding can't be read off.
        axes: the axes along which rows and columns run, counted from the last.
    """

    shape: tuple[int, ...]
    edges: tuple[Tensor, ...]
    steps: tuple[float | None, float | None]
    axes: tuple[int, int] = (-2, -1)

    @classmethod
    def image(cls, shape: Sequence[int]) -> "Extent":
        """The extent of the image itself, (N, C, H, W): each pixel depends on itself."""
        rows = torch.arange(shape[-2], dtype=torch.float64)[:, None]
        columns = torch.arange(shape[-1], dtype=torch.float64)[None, :]
        return cls(tuple(shape), (rows, -rows - 1, columns, -columns - 1), (1, 1))

    @classmethod
    def nothing(cls, shape: Sequence[int]) -> "Extent":
        """The extent of a constant, which depends on no pixel."""
        edge = torch.full((1,), NOTHING, dtype=torch.float64)
        return cls(tuple(shape), (edge,) * 4, (None, None))

    @classmethod
    def of(
        cls, edges: Sequence[Tensor], steps: tuple[float | None, float | None], axes: tuple[int, int] = (-2, -1)
    ) -> "Extent":
        """The extent made of edges that are given at every cell."""
        return cls(tuple(edges[0].shape), tuple(map(_compact, edges)), steps, axes)

    @property
    def blind(self) -> bool:
        """True if no cell depends on any pixel."""
        return all(bool(edge.isinf().all()) for edge in self.edges)

    def full(self, edge: int) -> Tensor:
        """One of the edges at every cell: float64 of the tensor's shape; not to be written to."""
        return self.edges[edge].expand(self.shape)

    def hull(self, axes: Sequence[int], keep: bool, shape: Sequence[int]) -> "Extent":
        """Extent of cells that depend on all cells along `axes`, as a sum over them or a normalisation does.

        Args:
            axes: of this tensor; all of them if empty.
            keep: whether they stay, with one cell each.
            shape: the result's; axes that are kept may be longer there.
        """
        count = len(self.shape)
        gone = [axis % count for axis in axes] or list(range(count))
        edges = tuple(_padded(edge, count).amin(gone, keepdim=keep) for edge in self.edges)
        down, right = (None if count + own in gone else step for own, step in zip(self.axes, self.steps, strict=True))
        return Extent(tuple(shape), edges, (down, right), self.axes)

    def windows(self, axis: int, index: Tensor, stride: float | None) -> "Extent":
        """Extent of cells that look through windows along one axis.

        Args:
            axis: negative, counted from the last.
            index: int64 (cells, window): for each new cell the old ones it looks at. What lies before the first or
                after the last is padding; `MISSING` is not there at all.
            stride: cells from a window to the next; `None` where that is not one number.
        """
        cells = self.shape[axis]
        shape = list(self.shape)
        shape[axis] = len(index)
        edges = [
            _through(_padded(edge, len(shape)), axis, cells, index, self._continuation(number, axis))
            for number, edge in enumerate(self.edges)
        ]
        return Extent(tuple(shape), tuple(edges), self.stepped(axis, stride).steps, self.axes)

    def stepped(self, axis: int, stride: float | None) -> "Extent":
        """The same extent where only every `stride`-th cell along an axis, counted from the last, remains."""
        steps = list(self.steps)
        if axis in self.axes:
            own = self.axes.index(axis)
            step = steps[own]
            steps[own] = None if step is None or stride is None else step * stride
        down, right = steps
        return replace(self, steps=(down, right))

    def permuted(self, axes: Sequence[int]) -> "Extent":
        """The same with the steps of a tensor that has these `axes` in this order; the edges stay as they are."""
        count = len(self.shape)
        order = [axis % count for axis in axes]
        if not all(count + own in order for own in self.axes):
            return self
        down, right = (order.index(count + own) - count for own in self.axes)
        return replace(self, axes=(down, right))

    def broadcast(self, shape: Sequence[int]) -> "Extent":
        """The same extent, broadcast to a shape."""
        return replace(self, shape=tuple(shape))

    def grouped(self, axis: int, groups: int, channels: int) -> "Extent":
        """Extent of a convolution's `channels` output channels: all input channels of their group, along `axis`."""
        edges = []
        for edge in self.edges:
            edge = _padded(edge, len(self.shape))
            if edge.shape[axis] > 1:
                edge = edge.unflatten(axis, (groups, -1)).amin(axis).repeat_interleave(channels // groups, axis)
            edges.append(edge)
        shape = list(self.shape)
        shape[axis] = channels
        return Extent(tuple(shape), tuple(map(_compact, edges)), self.steps, self.axes)

    def _continuation(self, edge: int, axis: int) -> float | None:
        """Step of an edge into the padding: its own along its own axis, and 0 along the others."""
        if axis not in self.axes:
            return None
        if axis != self.axes[edge // 2]:
            return 0.0
        step = self.steps[edge // 2]
        return None if step is None else step * (1 if edge % 2 == 0 else -1)


def union(extents: Sequence[Extent], shape: Sequence[int]) -> Extent:
    """Extent of cells that are computed, place by place, from several tensors that broadcast to `shape`."""
    together = tuple(reduce(torch.minimum, (extent.edges[number] for extent in extents)) for number in range(4))
    seeing = [extent for extent in extents if not extent.blind]
    axes = {extent.axes for extent in seeing}
    if len(axes) != 1:  # none sees a pixel, or rows run along different axes
        return Extent(tuple(shape), together, (None, None))
    down, right = ({extent.steps[side] for extent in seeing} for side in (0, 1))
    steps = (down.pop() if len(down) == 1 else None, right.pop() if len(right) == 1 else None)
    return Extent(tuple(shape), together, steps, axes.pop())


def even_step(edge: Tensor, axis: int) -> float | None:
    """Growth of an edge from each cell to the next along an axis, if it is the same everywhere."""
    differences = edge.diff(dim=axis)
    first = float(differences.flatten()[0])
    return first if bool((differences == first).all()) else None


def _through(edge: Tensor, axis: int, cells: int, index: Tensor, continuation: float | None) -> Tensor:
    """An edge behind windows. Padding continues evenly; where that can't be, or must not be, it is `NOTHING`."""
    if edge.shape[axis] == 1 and (cells > 1 or continuation in (None, 0.0)):
        return edge  # it is the same all along the axis, padding included
    if cells > 1:
        continuation = None if continuation is None else even_step(edge, axis)
    inside = index.clamp(0, cells - 1)
    beyond = (index - inside).double()
    values = edge.index_select(axis, inside.flatten()).unflatten(axis, tuple(index.shape))
    beyond = beyond.view(*index.shape, *(1,) * (-1 - axis))
    if continuation is None:
        values = values.masked_fill(beyond != 0, NOTHING)
    else:
        missing = (index == MISSING).view_as(beyond)
        values = (values + beyond * continuation).masked_fill(missing, NOTHING)
    return values.amin(axis)


def _padded(edge: Tensor, axes: int) -> Tensor:
    """An edge with as many axes as the tensor has."""
    return edge.reshape((1,) * (axes - edge.dim()) + tuple(edge.shape))


def _compact(edge: Tensor) -> Tensor:
    """Shorten axes along which all cells are equal to one cell: the operations that follow are then cheap."""
    for axis, cells in enumerate(edge.shape):
        if cells > 1:
            first = edge.narrow(axis, 0, 1)
            edge = first if bool((edge == first).all()) else edge
    return edge
