"""Splits of a data set into train, val and test, and shares of its positions for parallel workers.

The split of an image depends on its file's name, so that adding a file moves almost no other.
"""

import hashlib
import math
from collections.abc import Sequence

from striate.errors import ArgumentError

_SALT = "striate-split-1"  # never change it: whoever trained on an earlier split would test on images it has seen


def ranked(keys: Sequence[str]) -> list[int]:
    """Return the positions of `keys` in a pseudo-random order that depends only on each key's text."""
    return sorted(range(len(keys)), key=lambda position: (_digest(keys[position]), keys[position]))


def portion(count: int, share: float) -> int:
    """Return `share` of `count`, rounded to the nearest whole number, halves up."""
    return math.floor(count * share + 0.5)


def hold_out(keys: Sequence[str]) -> list[str]:
    """Assign each image of one class to a split: a tenth "test", a tenth "val", the rest "train".

    Of one or two images all are "train"; of three or four one is "test"; from five on both splits have some. Test is
    taken from one end of the order and val from the other: as a split grows, no image moves between the two.

    Args:
        keys: unique names of the images, the same on every machine: paths inside the data set.
    """
    count = len(keys)
    test = portion(count, 0.1) if count >= 5 else int(count >= 3)
    val = portion(count, 0.1)
    splits = ["train"] * count
    for rank, position in enumerate(ranked(keys)):
        if rank < test:
            splits[position] = "test"
        elif rank >= count - val:
            splits[position] = "val"
    return splits


def _digest(key: str) -> bytes:
    return hashlib.blake2b(f"{_SALT}/{key}".encode("utf-8", "surrogateescape"), digest_size=16).digest()


def share(count: int, rank: int = 0, world: int = 1, worker: int = 0, workers: int = 1) -> range:
    """Return the share of positions 0 … count - 1 for worker `worker` of `workers` in process `rank` of `world`.

    All these ranges together hold every position once, whatever the remainder: nothing is repeated to make shares
    even, and the shares of two processes, or of two workers of a process, differ by one position at most. A process's
    positions don't depend on how many workers it has.

    Raises:
        ArgumentError: if there is no such process or worker.
    """
    if not (0 <= rank < world and 0 <= worker < workers):
        raise ArgumentError(f"there is no worker {worker} of {workers} in process {rank} of {world}: count from 0.")
    return range(rank, count, world)[worker::workers]
