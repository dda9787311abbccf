"""Receptive field of a layer's units, as rectangles of pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from striate.inspection.extent.extent import Extent
from striate.units import by

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

    >>> field = receptive_fields(striate.create("lenet5"))["c1"]
    >>> field.size, field.stride
    ((5, 5), (1, 1))
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
    layout = _layout(extent, edges)
    if layout is None:
        rows, columns = (tuple(sorted(set(_intervals(*edges[2 * side : 2 * side + 2])))) for side in (0, 1))
        strides: list[float | None] = [None, None]
    else:
        rows, columns = (
            _intervals(*(_along(edge, axis, extent.shape[axis]) for edge in edges[2 * side : 2 * side + 2]))
            for side, axis in enumerate(layout)
        )
        steps = extent.steps if layout == extent.axes else (None, None)
        strides = [_stride(seen, step) for seen, step in zip((rows, columns), steps, strict=True)]
    height, width = (max(stop - start for start, stop in seen) for seen in (rows, columns))
    return Field(image, rows, columns, (height, width), (strides[0], strides[1]))


def _layout(extent: Extent, edges: Sequence[Tensor]) -> tuple[int, int] | None:
    """The axes along which the grid of units runs down and to the right, if there is such a grid."""
    if len(extent.shape) != 4:
        return None
    for down, right in sorted(_LAYOUTS, key=lambda layout: layout != extent.axes):  # of one unit its own
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
