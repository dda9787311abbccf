"""Pictures of one size are brought to another together: each call takes a while before the first pixel."""

import math

import numpy as np

from striate.preprocess import Preprocess
from striate.resizing import Picture

_ROOM = 2**22  # bytes


class Stack:
    """Takes pictures for places in `pixels` and conforms those next to each other that have one size by one call.

    Args:
        preprocess: what to bring them to.
        pixels: where they go once `flush` was called, uint8 (N, height, width, channels).
    """

    def __init__(self, preprocess: Preprocess, pixels: np.ndarray):
        self._preprocess = preprocess
        self._pixels = pixels
        self._room = np.empty(_ROOM, dtype=np.uint8)
        self._pictures = np.empty((0, 0, 0, 0), dtype=np.uint8)
        self._offered: np.ndarray | None = None
        self._waiting: list[int] = []

    def offer(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        """Where to put the next picture if it has this height, width and channels; None for anywhere else."""
        size = math.prod(shape)
        if shape[2] != self._preprocess.channels or not 0 < size <= _ROOM // 2:
            return None
        if shape != self._pictures.shape[1:]:
            self.flush()
            count = _ROOM // size
            self._pictures = self._room[: count * size].reshape(count, *shape)
        self._offered = self._pictures[len(self._waiting)]
        return self._offered

    def take(self, position: int, picture: Picture) -> None:
        """A picture for this place in `pixels`; it may lie where the last `offer` was."""
        if picture is not self._offered:
            self._pixels[position] = self._preprocess.conform_picture(picture)
            return
        self._waiting.append(position)
        if len(self._waiting) == len(self._pictures):
            self.flush()

    def flush(self) -> None:
        """Conform what waits."""
        conformed = self._preprocess.conform_stack(self._pictures[: len(self._waiting)])
        for position, picture in zip(self._waiting, conformed, strict=True):
            self._pixels[position] = picture
        self._waiting.clear()
