"""From a file to the pixels a network sees: one function for training, evaluation and prediction."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from striate.data.decode import TURN, AtLeast, Source, UndecodableError, decode_to
from striate.data.entries import Entry
from striate.data.stacking import Stack
from striate.preprocess import Preprocess

VERSION = 3  # of the steps below and of `Preprocess.conform`, see the one of decode.py

# A JPEG is decoded at a reduced scale that is still this many times the size wanted. Against decoding in full, at 64
# and 224 pixels, a margin of 2 changed pixels by 0.1 to 0.9 levels of 255 on average and a margin of 1 by up to 2.3
# (photograph-like images of 256×256 to 4000×3000, benchmarks/reduced_decode.py).
MARGIN = 2


def prepare(source: Source, preprocess: Preprocess, turn: AbstractContextManager[object] = TURN) -> np.ndarray:
    """The image in a file, or in bytes, as `preprocess` wants it.

    Args:
        source, turn: as in `decode`.
        preprocess: the size, the channels and the fit.

    Returns:
        uint8 (height, width, channels).

    Raises:
        UndecodableError: if the image is damaged, cut off, too large or no image at all.
    """
    return decode_to(preprocess.conform_picture, source, _enough_for(preprocess), turn)


def prepare_all(
    entries: Iterable[Entry],
    preprocess: Preprocess,
    pixels: np.ndarray,
    turn: AbstractContextManager[object] = TURN,
) -> dict[int, str]:
    """`prepare` for each of `entries`, into `pixels`, uint8 (N, height, width, channels).

    Returns:
        The reasons of those that can't be decoded, by position; their pixels stay as they were.
    """
    problems = {}
    stack, at_least = Stack(preprocess, pixels), _enough_for(preprocess)
    for position, entry in enumerate(entries):
        try:
            decode_to(partial(stack.take, position), entry.source, at_least, turn, stack.offer)
        except UndecodableError as error:
            problems[position] = error.reason
    stack.flush()
    return problems


def _enough_for(preprocess: Preprocess) -> AtLeast:
    def at_least(width: int, height: int) -> tuple[int, int]:
        wide, high = preprocess.scaled(width, height)
        return MARGIN * wide, MARGIN * high

    return at_least
