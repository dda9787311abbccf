"""Preparation of drawings: the place, size and colours that the data's own pictures have, measured on them.

MNIST's digits were scaled to 20 of 28 pixels and moved so that their centre of mass lies in the middle; the clothes of
Fashion-MNIST fill 28 pixels, the digits of scikit-learn all 8. Who draws elsewhere on the canvas, or smaller, would
ask the network about pictures that it was never shown.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SAME = 0.9  # share of pictures of one size, from which on drawings get it, too
STEADY = 0.06  # of the side: the deviation of a centre up to which drawings are moved there
INKED = 32 / 255  # from here on a pixel belongs to what is drawn
PEN = 0.085  # of the side: the width of MNIST's strokes
_MOST = 2000  # pictures that are measured


@dataclass(frozen=True)
class Preparation:
    """Preparation of a drawing, so that it looks as the data do.

    Args:
        paper: the value of the background, 0 or 255; what is drawn is the other.
        size: pixels of the drawing's longer side, or `None` if the data's differ.
        centre: "mass" or "box", whichever lies at one place in the data, or `None`.
        at: that place, (row, column) in pixels; the middle of the first pixel is 0.
        pen: the width of strokes in pixels, to begin with.
    """

    paper: int
    size: int | None
    centre: str | None
    at: tuple[float, float]
    pen: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"paper": self.paper, "size": self.size, "centre": self.centre, "at": self.at, "pen": self.pen}


def preparation(height: int, width: int, pictures: np.ndarray | None) -> Preparation:
    """Measure how drawings are to be prepared.

    Args:
        height, width: of the network's input, in pixels.
        pictures: of the data, uint8 (N, height, width); without any, drawings stay as they are, white on black.
    """
    middle = ((height - 1) / 2, (width - 1) / 2)
    pen = round(max(1.2, PEN * max(height, width)), 1)
    if pictures is None or not len(pictures):
        return Preparation(0, None, None, middle, pen)
    values: np.ndarray = pictures[:_MOST] / 255
    edges = np.concatenate([values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]], axis=1)
    paper = 255 if float(np.median(edges)) > 0.5 else 0
    ink = np.abs(values - paper / 255)
    ink = ink[(ink > INKED).any((1, 2))]
    if not len(ink):
        return Preparation(paper, None, None, middle, pen)
    inked: np.ndarray = ink > INKED
    down, right = _interval(inked.max(2)), _interval(inked.max(1))
    longer = np.maximum(down[1] - down[0], right[1] - right[0])
    size = int(np.median(longer))
    boxes = np.stack([(down[0] + down[1] - 1) / 2, (right[0] + right[1] - 1) / 2], axis=1)
    masses = np.stack([_mean_place(ink.sum(2)), _mean_place(ink.sum(1))], axis=1)
    deviation, centre, at = min(
        (float(np.sqrt(places.var(0).sum())), name, places.mean(0))
        for name, places in (("box", boxes), ("mass", masses))
    )
    steady = deviation <= STEADY * max(height, width)
    return Preparation(
        paper=paper,
        size=size if float((np.abs(longer - size) <= 1).mean()) >= SAME else None,
        centre=centre if steady else None,
        at=(round(float(at[0]), 2), round(float(at[1]), 2)) if steady else middle,
        pen=pen,
    )


def _interval(inked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first inked position of each row, and the first after the last: bool (N, side) to two int64 (N,)."""
    return inked.argmax(1), inked.shape[1] - inked[:, ::-1].argmax(1)


def _mean_place(weights: np.ndarray) -> np.ndarray:
    """The mean position along the side, (N, side) to (N,)."""
    return weights @ np.arange(weights.shape[1]) / weights.sum(1)
