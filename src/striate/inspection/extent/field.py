"""Receptive fields as rectangles of pixels: of each cell of a tensor (`Extent`), and of a layer's units (`Field`).

Extents are followed through the operations by exact interval arithmetic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from striate.units import by

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
        steps: pixels from a cell to the next along the last two axes, down and to the right; `None` where that is not
            one number. Needed where an axis has one cell only, whose neighbours in the padding can't be read off.
    """

    shape: tuple[int, ...]
    edges: tuple[Tensor, ...]
    steps: tuple[float | None, float | None]

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
    def of(cls, edges: Sequence[Tensor], steps: tuple[float | None, float | None]) -> "Extent":
        """The extent made of edges that are given at every cell."""
        return cls(tuple(edges[0].shape), tuple(map(_compact, edges)), steps)

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
        down, right = (None if count + own in gone else step for own, step in zip((-2, -1), self.steps, strict=True))
        return Extent(tuple(shape), edges, (down, right))

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
        return Extent(tuple(shape), tuple(edges), self.stepped(axis, stride).steps)

    def stepped(self, axis: int, stride: float | None) -> "Extent":
        """The same extent where only every `stride`-th cell along an axis, counted from the last, remains."""
        steps = list(self.steps)
        if axis >= -2:
            step = steps[axis]
            steps[axis] = None if step is None or stride is None else step * stride
        down, right = steps
        return replace(self, steps=(down, right))

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
        return Extent(tuple(shape), tuple(map(_compact, edges)), self.steps)

    def _continuation(self, edge: int, axis: int) -> float | None:
        """Step of an edge into the padding: its own along its own axis, and 0 along the others."""
        own = -2 if edge < 2 else -1
        if axis != own:
            return None if axis < -2 else 0.0
        step = self.steps[axis]
        return None if step is None else step * (1 if edge % 2 == 0 else -1)


def union(extents: Sequence[Extent], shape: Sequence[int]) -> Extent:
    """Extent of cells that are computed, place by place, from several tensors that broadcast to `shape`."""
    together = tuple(reduce(torch.minimum, (extent.edges[number] for extent in extents)) for number in range(4))
    seeing = [extent.steps for extent in extents if not extent.blind]
    down, right = ({steps[axis] for steps in seeing} for axis in (0, 1))
    return Extent(
        tuple(shape), together, (down.pop() if len(down) == 1 else None, right.pop() if len(right) == 1 else None)
    )


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


Interval = tuple[int, int]
_LAYOUTS = ((-2, -1), (-3, -2))  # where rows and columns lie: (N, C, H, W) and (N, H, W, C)


@dataclass(frozen=True)
class Field:
    """Receptive field of a layer's units, in pixels: all that their values can depend on, through any path.

    Fields are rectangles, and go on beyond the image where windows lie over padding. Where channels see differently, as
    behind parallel branches, it is the union.

    Args:
        image: height and width of the image.
        rows, columns: for each row (column) of units the first pixel seen and the first one after. Of units that lie on
            no grid, as those of dense layers, all different ones, lowest first.
        size: height and width of the largest field.
        stride: from one unit to the next, down and to the right; `None` where they lie on no even grid.
    """

    image: tuple[int, int]
    rows: tuple[Interval, ...]
    columns: tuple[Interval, ...]
    size: tuple[int, int]
    stride: tuple[float | None, float | None]

    @property
    def start(self) -> tuple[int, int]:
        """The first unit's first row and column of pixels; negative by as much as it lies in padding."""
        return self.rows[0][0], self.columns[0][0]

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the first unit's field, (row, column); pixel (0, 0) has its middle there."""
        (top, bottom), (left, right) = self.rows[0], self.columns[0]
        return (top + bottom - 1) / 2, (left + right - 1) / 2

    @property
    def whole(self) -> bool:
        """True if every unit sees the whole image, because what it computes ranges over all of it."""
        sides = zip(self.image, (self.rows, self.columns), self.stride, strict=True)
        return all(not step and all(first <= 0 and last >= side for first, last in seen) for side, seen, step in sides)

    @property
    def text(self) -> str:
        """The size as "5×5", or "all" for the whole image."""
        return "all" if self.whole else by(self.size)

    def of(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The field of one unit: first row, first column, first row after, first column after."""
        (top, bottom), (left, right) = self.rows[row], self.columns[column]
        return top, left, bottom, right

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "size": list(self.size),
            "stride": list(self.stride),
            "start": list(self.start),
            "centre": list(self.centre),
            "whole": self.whole,
        }


def field_of(extent: Extent, image: tuple[int, int]) -> Field:
    """Make the receptive field of units with the extent `extent` in an image of this height and width."""
    edges = tuple(edge.reshape((1,) * (len(extent.shape) - edge.dim()) + tuple(edge.shape)) for edge in extent.edges)
    layout = _layout(extent.shape, edges)
    if layout is None:
        rows, columns = (tuple(sorted(set(_intervals(*edges[2 * side : 2 * side + 2])))) for side in (0, 1))
        strides: list[float | None] = [None, None]
    else:
        rows, columns = (
            _intervals(*(_along(edge, axis, extent.shape[axis]) for edge in edges[2 * side : 2 * side + 2]))
            for side, axis in enumerate(layout)
        )
        steps = extent.steps if layout == _LAYOUTS[0] else (None, None)
        strides = [_stride(seen, step) for seen, step in zip((rows, columns), steps, strict=True)]
    height, width = (max(stop - start for start, stop in seen) for seen in (rows, columns))
    return Field(image, rows, columns, (height, width), (strides[0], strides[1]))


def _layout(shape: Sequence[int], edges: Sequence[Tensor]) -> tuple[int, int] | None:
    """The axes along which the grid of units runs down and to the right, if there is such a grid."""
    if len(shape) != 4:
        return None
    for down, right in _LAYOUTS:
        across = any(_varies(edge, right) for edge in edges[:2]) or any(_varies(edge, down) for edge in edges[2:])
        if not across:
            return down, right
    return None


def _varies(edge: Tensor, axis: int) -> bool:
    return bool((edge != edge.narrow(axis, 0, 1)).any())


def _along(edge: Tensor, axis: int, units: int) -> Tensor:
    """An edge, combined over all units at the same place on an axis: (units,)."""
    return edge.amin([each for each in range(edge.dim()) if each != edge.dim() + axis]).expand(units)


def _intervals(starts: Tensor, minus_stops: Tensor) -> tuple[Interval, ...]:
    """First pixel and the first one after, for every cell; (0, 0) for a cell that depends on no pixel."""
    pairs = zip(*(each.flatten().tolist() for each in torch.broadcast_tensors(starts, minus_stops)), strict=True)
    return tuple((int(start), int(-minus_stop)) if math.isfinite(start) else (0, 0) for start, minus_stop in pairs)


def _stride(seen: tuple[Interval, ...], step: float | None) -> float | None:
    """Pixels from each unit to the next, if it is one number: counted where there are several units."""
    if len(seen) > 1:
        steps = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(seen)}
        first = steps.pop()
        return first[0] if not steps and first[0] == first[1] else None
    return int(step) if step is not None and step == int(step) else step
