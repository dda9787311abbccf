"""Where labels go beside their points, covering neither each other nor a point: plain geometry, no drawing."""

from collections.abc import Sequence

Box = tuple[float, float, float, float]  # left, bottom, right, top
Point = tuple[float, float]

GAP = 6.0  # between a point and its label, and half of it around a point


def place(points: Sequence[Point], sizes: Sequence[Point], frame: Box, lines: Sequence[Point] = ()) -> list[Point]:
    """The lower left corner of each label.

    Each label takes, of twelve places around its point, the one that covers least of the labels placed before it, of
    points and lines, and of what is outside the frame; among equals the one named first: right, left, above, below,
    the four corners, and farther off.

    Args:
        points: what is labelled.
        sizes: width and height of each label.
        frame: where labels should stay.
        lines: points on lines that labels should not cover, as close together as they are to count.
    """
    taken: list[Box] = [(x - GAP / 2, y - GAP / 2, x + GAP / 2, y + GAP / 2) for x, y in points]
    taken += [(x - 1, y - 1, x + 1, y + 1) for x, y in lines]
    corners = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        boxes = [(left, bottom, left + width, bottom + height) for left, bottom in _places(x, y, width, height)]
        best = min(boxes, key=lambda box: round(_outside(box, frame) * 4 + sum(_shared(box, t) for t in taken), 3))
        taken.append(best)
        corners.append(best[:2])
    return corners


def _places(x: float, y: float, width: float, height: float) -> list[Point]:
    right, left, middle = x + GAP, x - GAP - width, x - width / 2
    low, high = y - height / 2, y + GAP
    under = y - GAP - height
    near = [(right, low), (left, low), (middle, high), (middle, under)]
    corners = [(right, high), (left, high), (right, under), (left, under)]
    farther = [(middle, high + height), (middle, under - height), (right, high + height), (right, under - height)]
    return near + corners + farther


def _shared(first: Box, second: Box) -> float:
    """The area that two boxes share."""
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, wide) * max(0.0, high)


def _outside(box: Box, frame: Box) -> float:
    """The area of a box that lies outside the frame."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _shared(box, frame)
