"""Decoded images, kept so that they are decoded once: what a `Store` keeps of each list of files, and under which name.

The name depends on every file's path, size and time of change, on how the images were brought to one size, and on what
decodes them. Nothing that depends on these is ever looked up by anything less.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
import torch
from torch import Tensor

from striate.data.cache.store import Store
from striate.data.images import decode, jpeg, prepare
from striate.data.images.image_ref import ImageRef, Stamp
from striate.data.statistics import ImageStatistics
from striate.files import cache_folder
from striate.preprocess import Preprocess
from striate.units import bytes_of

_FORMAT = 2
_COARSEST_CLOCK = 2 * 10**9  # ns: FAT keeps times of change in steps of two seconds


@dataclass(frozen=True)
class CacheEntry:
    """What is kept of a list of images.

    Args:
        bad: the positions of those that could not be decoded.
        stats: about the others, if it was gathered.
    """

    bad: tuple[int, ...]
    stats: ImageStatistics | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"bad": list(self.bad), "known": self.stats and self.stats.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CacheEntry":
        """The inverse of `to_dict`."""
        return cls(tuple(values["bad"]), values["known"] and ImageStatistics.from_dict(values["known"]))


class Cache:
    """The decoded images of all data sets.

    Args:
        size: how many bytes they may take; None for the usual limit.

    Raises:
        OSError: if the cache's folder can't be used.
    """

    def __init__(self, size: int | None = None):
        folder = cache_folder() / "images"
        self.store = Store(folder, usual_size(folder) if size is None else size)
        self.store.trim()

    def entry(self, key: str) -> CacheEntry | None:
        """What is kept under this name, or None."""
        try:
            return CacheEntry.from_dict(self.store.about(key))
        except (KeyError, TypeError, ValueError):  # nothing, or nothing that this version wrote
            return None

    def opened(self, key: str, shape: tuple[int, int, int, int]) -> Tensor | None:
        """The pixels under this name, uint8 of `shape`, over the file."""
        pixels = self.store.open(key, shape)
        return None if pixels is None else torch.from_numpy(pixels)


def key_of(kind: str, stamps: Sequence[Stamp], preprocess: Preprocess | None = None) -> str:
    """The name of what is kept of images with these stamps.

    Args:
        kind: what it is: "pixels", "survey" or "headers".
        preprocess: what they were brought to, if it matters.
    """
    made = [_FORMAT, kind, decode.VERSION, prepare.VERSION, PIL.__version__, jpeg.VERSION, torch.__version__]
    if preprocess is not None:
        made += [preprocess.height, preprocess.width, preprocess.channels, preprocess.fit]
    digest = hashlib.blake2b(json.dumps(made).encode(), digest_size=16)
    for stamp in stamps:
        digest.update(json.dumps(stamp).encode())
    return digest.hexdigest()


def settled(stamps: Mapping[ImageRef, Stamp]) -> Mapping[ImageRef, Stamp]:
    """These stamps, or new ones, once a change from now on would show in them.

    A file that was written a moment ago could be written again without a later time of change, where the file system's
    clock is coarse; it is waited for until that moment is past.
    """
    age = time.time_ns() - max((stamp[2] for stamp in stamps.values()), default=0)
    if not 0 <= age < _COARSEST_CLOCK:
        return stamps
    time.sleep((_COARSEST_CLOCK - age) / 1e9)
    return {image_ref: image_ref.stamp for image_ref in stamps}


USUAL = 20 * 10**9


def usual_size(folder: Path) -> int:
    """The limit where none is given: $STRIATE_CACHE_SIZE, or 20 GB, but never more than half of what the disk has free.

    Args:
        folder: the cache; what it holds already counts as free. It need not exist yet.
    """
    if own := os.environ.get("STRIATE_CACHE_SIZE"):
        return bytes_of(own)
    held = sum(_size(path) for path in folder.glob("*/pixels"))
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return min(USUAL, (shutil.disk_usage(existing).free + held) // 2)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):  # another process has just removed it
        return path.stat().st_size
    return 0
