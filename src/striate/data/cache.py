"""Cache of decoded images and of headers: the entries that a `Store` holds for lists of files, and their keys.

A key depends on every file's path, size and time of change, on the preprocessing, and on the versions of the decoders.
Nothing that depends on these is ever looked up by anything less.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import xxhash
from torch import Tensor

from striate.data.cache_store import Store
from striate.data.images import decode, jpeg, prepare
from striate.data.images.image_ref import Header, Headers, ImageRef, Stamp, read_headers
from striate.data.stamps import Stamps
from striate.data.statistics import ImageStatistics
from striate.errors import StorageError
from striate.files import cache_folder, open_regular
from striate.preprocess import Preprocess
from striate.types import Progress
from striate.units import bytes_of

_FORMAT = 2
_TOGETHER = 1000  # stamps
_CHUNK = 2**20  # bytes
_COARSEST_CLOCK = 2 * 10**9  # ns: FAT keeps times of change in steps of two seconds


@dataclass(frozen=True)
class CacheEntry:
    """The cached facts about a list of images.

    Args:
        bad: the positions of those that could not be decoded.
        stats: the statistics of the others, if they were computed.
        digest: of their pixels, if they are in the entry, by `digest_of`; entries of before have none.
    """

    bad: tuple[int, ...]
    stats: ImageStatistics | None
    digest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"bad": list(self.bad), "known": self.stats and self.stats.to_dict(), "digest": self.digest}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CacheEntry":
        """The inverse of `to_dict`."""
        known = values["known"] and ImageStatistics.from_dict(values["known"])
        return cls(tuple(values["bad"]), known, values.get("digest", ""))


def digest_of(pixels: np.ndarray) -> str:
    """The 128-bit XXH3 of an array's bytes: several gigabytes a second, against damage and not against forgers."""
    return xxhash.xxh3_128_hexdigest(pixels.data if pixels.size else b"")


def _digest_of_file(path: Path) -> str:
    """As `digest_of`, of a file's bytes: read, so that a process is not told to hold all of them."""
    digest = xxhash.xxh3_128()
    with open_regular(path, 0) as file:
        while content := file.read(_CHUNK):
            digest.update(content)
    return digest.hexdigest()


class DamagedError(Exception):
    """The pixels of an entry are not those that were written."""


class Cache:
    """The cache of the decoded images of all data sets.

    Args:
        size: the limit in bytes; None for the default.

    Raises:
        OSError: if the cache's folder can't be used.
    """

    def __init__(self, size: int | None = None):
        folder = cache_folder() / "images"
        self.store = Store(folder, default_size(folder) if size is None else size)
        self.store.trim()

    def entry(self, key: str) -> CacheEntry | None:
        """Return the entry under this key, or None."""
        about = self.store.about(key)
        try:
            return None if about is None else CacheEntry.from_dict(about)
        except (KeyError, TypeError, ValueError):  # one that this version did not write
            return None

    def opened(self, key: str, shape: tuple[int, int, int, int], digest: str = "") -> Tensor | None:
        """Return the pixels under this key, uint8 of `shape`, mapped from the file; None if there are none.

        Args:
            digest: what they must have, if given.

        Raises:
            DamagedError: if they have another; the entry is invalid from then on.
        """
        pixels = self.store.open(key, shape)
        if pixels is None:
            return None
        if digest and _digest_of_file(self.store.folder / key / "pixels") != digest:
            self.store.forget(key)
            raise DamagedError(key)
        return torch.from_numpy(pixels)


def key_of(kind: str, stamps: Iterable[Stamp], preprocess: Preprocess | None = None) -> str:
    """Return the cache key for images with these stamps.

    Args:
        kind: such as "pixels" or "headers", and what else it is looked up by.
        preprocess: the preprocessing applied to them, if it matters.
    """
    made = [_FORMAT, kind, decode.VERSION, prepare.VERSION, PIL.__version__, jpeg.VERSION, torch.__version__]
    if preprocess is not None:
        made += [preprocess.height, preprocess.width, preprocess.channels, preprocess.fit]
        if (preprocess.crop, preprocess.interpolation) != (1.0, "bilinear"):  # what older entries have is not named
            made += [preprocess.crop, preprocess.interpolation]
    digest = hashlib.blake2b(json.dumps(made).encode(), digest_size=16)
    left = iter(stamps)
    while text := "".join(map(_as_json, islice(left, _TOGETHER))):
        digest.update(text.encode())
    return digest.hexdigest()


def _as_json(stamp: Stamp) -> str:
    """A stamp as JSON, byte for byte as `json.dumps` writes it, but faster: there may be millions of them."""
    path, size, changed, offset, length = stamp
    return f"[{encode_basestring_ascii(path)}, {size}, {changed}, {offset}, {'null' if length is None else length}]"


def settled(stamps: dict[str, Stamps]) -> dict[str, Stamps]:
    """Wait until any later change of a file would change its stamp, and return the stamps, renewed after a wait.

    Where the file system's clock is coarse, a file that was written a moment ago could be written again without a later
    time of change.
    """
    age = time.time_ns() - max((each.newest for each in stamps.values()), default=0)
    if not 0 <= age < _COARSEST_CLOCK:
        return stamps
    time.sleep((_COARSEST_CLOCK - age) / 1e9)
    return {name: each.renewed() for name, each in stamps.items()}


def cached_headers(
    image_refs: Sequence[ImageRef], stamps: Iterable[Stamps], cache: Cache, progress: Progress | None = None
) -> Headers:
    """Return `read_headers` from the cache if no image has changed; bad images are tried again."""
    key = key_of(f"headers of {' '.join(each.digest for each in stamps)}", ())
    with contextlib.suppress(KeyError, TypeError, ValueError):  # no entry, or one that this version did not write
        about = cache.store.about(key) or {}
        kept = Counter({Header(*each): count for *each, count in about["headers"]})
        headers, problems = read_headers([image_refs[position] for position in about["bad"]])
        if not headers:
            return kept, problems
    headers, problems = read_headers(image_refs, progress)
    bad_ones = [position for position, image_ref in enumerate(image_refs) if image_ref in problems] if problems else []
    with contextlib.suppress(StorageError):  # the next start takes a little longer
        cache.store.note(key, {"headers": [[*each, count] for each, count in headers.items()], "bad": bad_ones})
    return headers, problems


DEFAULT_SIZE = 20 * 10**9


def default_size(folder: Path) -> int:
    """Return the default limit: $STRIATE_CACHE_SIZE, or 20 GB, but never more than half of the free disk space.

    Args:
        folder: the cache; the space it takes already counts as free. It need not exist yet.
    """
    if own := os.environ.get("STRIATE_CACHE_SIZE"):
        return bytes_of(own)
    held = sum(_size(path) for path in folder.glob("*/pixels"))
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return min(DEFAULT_SIZE, (shutil.disk_usage(existing).free + held) // 2)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):  # another process has just removed it
        return path.stat().st_size
    return 0
