"""Decoding and resizing in one step, from a file to pixels of the network's input size: `prepare`, `prepare_all`."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from striate.data.images.decode import LARGE_IMAGE_LOCK, AtLeast, Source, UndecodableError, decode_to
from striate.data.images.image_ref import ImageRef
from striate.preprocess import Preprocess
from striate.resizing import Picture

VERSION = 3  # of the steps below and of `Preprocess.conform`, see the one of decode.py

# A JPEG is decoded at a reduced scale that is still this many times the size wanted. Against decoding in full, at 64
# and 224 pixels, a margin of 2 changed pixels by 0.1 to 0.9 of 255 on average and a margin of 1 by up to 2.3
# (photograph-like images of 256×256 to 4000×3000, benchmarks/reduced_decode.py).
MARGIN = 2


def prepare(
    source: Source, preprocess: Preprocess, lock: AbstractContextManager[object] = LARGE_IMAGE_LOCK
) -> np.ndarray:
    """Decode an image from a file or from bytes, and bring it to the size and channels of `preprocess`.

    Args:
        source, lock: as in `decode`.
        preprocess: the size, the channels and the fit.

    Returns:
        uint8 (height, width, channels).

    Raises:
        UndecodableError: if the image is damaged, cut off, too large or no image at all.
    """
    return decode_to(preprocess.conform_picture, source, enough_for(preprocess), lock)


def prepare_all(
    image_refs: Iterable[ImageRef],
    preprocess: Preprocess,
    pixels: np.ndarray,
    lock: AbstractContextManager[object] = LARGE_IMAGE_LOCK,
) -> dict[int, str]:
    """Run `prepare` for each of `image_refs`, into `pixels`, uint8 (N, height, width, channels).

    Returns:
        The reasons for those that can't be decoded, by position; their pixels stay as they were.
    """
    problems = {}
    stack, at_least = Stack(preprocess, pixels), enough_for(preprocess)
    for position, image_ref in enumerate(image_refs):
        try:
            decode_to(partial(stack.take, position), image_ref.source, at_least, lock, stack.offer)
        except UndecodableError as error:
            problems[position] = error.reason
    stack.flush()
    return problems


_BUFFER_SIZE = 2**22  # bytes


class Stack:
    """Buffer that resizes consecutive pictures of one size by one call, as each call takes a while to start.

    Args:
        preprocess: the size and channels of the results.
        pixels: the results, written by `flush` at the latest: uint8 (N, height, width, channels).
    """

    def __init__(self, preprocess: Preprocess, pixels: np.ndarray):
        self._preprocess = preprocess
        self._pixels = pixels
        self._buffer = np.empty(_BUFFER_SIZE, dtype=np.uint8)
        self._pictures = np.empty((0, 0, 0, 0), dtype=np.uint8)
        self._offered: np.ndarray | None = None
        self._pending: list[int] = []

    def offer(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        """Return the array to put the next picture into if it has this height, width and channels, or None."""
        size = math.prod(shape)
        if shape[2] != self._preprocess.channels or not 0 < size <= _BUFFER_SIZE // 2:
            return None
        if shape != self._pictures.shape[1:]:
            self.flush()
            count = _BUFFER_SIZE // size
            self._pictures = self._buffer[: count * size].reshape(count, *shape)
        self._offered = self._pictures[len(self._pending)]
        return self._offered

    def take(self, position: int, picture: Picture) -> None:
        """Take the picture for this position in `pixels`; it may lie in the array of the last `offer`."""
        if picture is not self._offered:
            self._pixels[position] = self._preprocess.conform_picture(picture)
            return
        self._pending.append(position)
        if len(self._pending) == len(self._pictures):
            self.flush()

    def flush(self) -> None:
        """Resize the pending pictures."""
        resized = self._preprocess.conform_stack(self._pictures[: len(self._pending)])
        for position, picture in zip(self._pending, resized, strict=True):
            self._pixels[position] = picture
        self._pending.clear()


def enough_for(preprocess: Preprocess) -> AtLeast:
    """Return the least size at which an image is decoded, see `decode`."""

    def at_least(width: int, height: int) -> tuple[int, int]:
        wide, high = preprocess.scaled(width, height)
        return MARGIN * wide, MARGIN * high

    return at_least
