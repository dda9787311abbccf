"""Reading the splits of a data set: decoded into memory, into the cache, or on demand, depending on their size."""

import errno
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from striate.data import lazy
from striate.data.cache import Cache, CacheEntry, DamagedError, key_of
from striate.data.cache_store import NoSpaceError, mapped
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef, Stamp
from striate.data.lazy import Images, LazyImages
from striate.data.statistics import ImageStatistics, RunningStatistics, statistics_of
from striate.errors import StorageError
from striate.hardware import worker_count
from striate.types import Progress
from striate.units import readable

IN_MEMORY = 256 * 10**6  # bytes of pixels that are decoded into memory where the cache can't be used

Shape = tuple[int, int, int, int]


class Read(NamedTuple):
    """The decodable images, the reason for each of the others, and the statistics of the good ones if available."""

    images: Images
    problems: dict[ImageRef, str]
    stats: ImageStatistics | None = None


class Reader:
    """Reader of the splits of a data set.

    Args:
        classes: the names; labels are positions in it.
        decoders: the threads or processes that decode.
        stamps: the stamp of every image, taken before any was opened.
        cache: the cache for decoded images, or None.
        skip_bad, progress: see `load`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        decoders: Decoders,
        stamps: Mapping[ImageRef, Stamp],
        cache: Cache | None = None,
        skip_bad: bool = False,
        progress: Progress | None = None,
    ):
        self.classes = classes
        self.decoders = decoders
        self.stamps = stamps
        self.cache = cache
        self.skip_bad = skip_bad
        self.progress = progress
        self._cached_bytes: dict[str, int] = {}  # by split, the bytes decoded into the cache
        self._on_demand_bytes: dict[str, int] = {}  # by split, the bytes that will be decoded on demand
        self._damaged: list[str] = []  # splits whose cached images were not those that were written
        self._reason = "there is no cache"

    def read(self, name: str, image_refs: Sequence[ImageRef], labels: Tensor) -> Read:
        """Read the images of a split.

        Args:
            name: the split.
            image_refs: N images.
            labels: int64 (N,).

        Raises:
            DataError: if there is not enough memory.
        """
        size = math.prod(self._shape(len(image_refs)))
        if self.cache is not None and image_refs:
            try:
                return self._from_cache(self.cache, name, image_refs, labels)
            except NoSpaceError as error:
                self._reason = str(error)
            except (OSError, StorageError) as error:
                self._reason = f"the cache can't be used: {error}".rstrip(".")
        if size <= IN_MEMORY:
            return self._into_memory(name, image_refs)
        self._on_demand_bytes[name] = size
        return self._on_demand(name, image_refs, labels)

    @property
    def notes(self) -> list[str]:
        """Notes for the user on the decisions so far."""
        folder = self.cache.store.folder if self.cache is not None else Path()
        damaged = [
            f"the cached images of {name} were damaged, and are decoded again: check the disk of {folder}"
            for name in self._damaged
        ]
        located = location_notes(self._cached_bytes, folder, self._on_demand_bytes, self.decoders.workers, self._reason)
        return damaged + located

    def _into_memory(self, name: str, image_refs: Sequence[ImageRef]) -> Read:
        images, count = np.empty(self._shape(len(image_refs)), dtype=np.uint8), 0
        problems: dict[ImageRef, str] = {}
        for pixels in self._good(name, image_refs, problems):
            images[count : count + len(pixels)] = pixels
            count += len(pixels)
        return Read(torch.from_numpy(images[:count]), problems)

    def _from_cache(self, cache: Cache, name: str, image_refs: Sequence[ImageRef], labels: Tensor) -> Read:
        """Read from the cache, after decoding into it the images that it does not hold."""
        key = self._key("pixels", image_refs)
        while True:
            seen = cache.store.about(key)
            try:
                read = self._cached(cache, key, image_refs)
            except DamagedError:
                self._damaged.append(name)
                continue
            if read is not None:
                return read
            part = cache.store.begin(key, math.prod(self._shape(len(image_refs))), seen)
            if part is not None:
                break
            self._report(f"waiting for another process that decodes {name}", 0, 0)
            time.sleep(0.2)
        try:
            problems, stats, digest = self._build(part / "pixels", name, image_refs, labels)
            cache.store.keep(key, CacheEntry(_positions(image_refs, problems), stats, digest).to_dict())
        finally:
            cache.store.drop(key)
        shape = self._shape(len(image_refs) - len(problems))
        images = cache.opened(key, shape)
        if images is None:
            raise OSError(errno.ENOENT, "the new cache entry is gone", str(part))
        if any(image_ref.stamp != self.stamps[image_ref] for image_ref in image_refs):
            cache.store.forget(key)  # it is unknown which content a changed file had when it was decoded
        self._cached_bytes[name] = math.prod(shape)
        return Read(images, problems, stats)

    def _build(
        self, path: Path, name: str, image_refs: Sequence[ImageRef], labels: Tensor
    ) -> tuple[dict[ImageRef, str], ImageStatistics | None, str]:
        """Decode into a file; statistics are computed only for "train", as no others are used.

        Returns:
            The reasons for the bad images, the statistics, and the digest of the file.
        """
        problems: dict[ImageRef, str] = {}
        digest = xxhash.xxh3_128()
        running = RunningStatistics(self.classes, self._shape(len(image_refs)), labels) if name == "train" else None
        with path.open("r+b") as file:
            for pixels in self._good(name, image_refs, problems):
                file.write(pixels.data)
                digest.update(pixels.data)
                if running is not None:
                    running.add(pixels)
            file.truncate()
        if running is None:
            return problems, None, digest.hexdigest()
        if not problems:
            return problems, running.statistics(), digest.hexdigest()
        images = torch.from_numpy(mapped(path, self._shape(len(image_refs) - len(problems))))
        stats = statistics_of(self.classes, images, _good_labels(image_refs, labels, problems))
        return problems, stats, digest.hexdigest()

    def _cached(self, cache: Cache, key: str, image_refs: Sequence[ImageRef]) -> Read | None:
        """Read from the cache if its entry is still valid: an image that was bad may be readable by now.

        Raises:
            DamagedError: if its pixels are not those that were written.
        """
        entry = cache.entry(key)
        problems = None if entry is None else self._still_bad(image_refs, entry)
        if entry is None or problems is None:
            return None
        images = cache.opened(key, self._shape(len(image_refs) - len(problems)), entry.digest)
        return None if images is None else Read(images, problems, entry.stats)

    def _on_demand(self, name: str, image_refs: Sequence[ImageRef], labels: Tensor) -> Read:
        """Return lazy images, after decoding all once to find the bad ones; bad ones and statistics are cached."""
        key = self._key("survey", image_refs)
        entry = None if self.cache is None else self.cache.entry(key)
        if entry is not None and (still := self._still_bad(image_refs, entry)) is not None:
            return Read(self._lazy(image_refs, still), still, entry.stats)
        problems: dict[ImageRef, str] = {}
        running = RunningStatistics(self.classes, self._shape(len(image_refs)), labels)
        for pixels in self._good(name, image_refs, problems):
            running.add(pixels)
        images = self._lazy(image_refs, problems)
        if not problems:
            stats = running.statistics()
        elif self.skip_bad:
            stats = statistics_of(self.classes, images, _good_labels(image_refs, labels, problems))
        else:
            return Read(images, problems)
        if self.cache is not None:
            with suppress(OSError, StorageError):  # all will be decoded next time too
                self.cache.store.note(key, CacheEntry(_positions(image_refs, problems), stats).to_dict())
        return Read(images, problems, stats)

    def _lazy(self, image_refs: Sequence[ImageRef], problems: Mapping[ImageRef, str]) -> LazyImages:
        return lazy.decoded([image_ref for image_ref in image_refs if image_ref not in problems], self.decoders)

    def _still_bad(self, image_refs: Sequence[ImageRef], entry: CacheEntry) -> dict[ImageRef, str] | None:
        """Return the reasons for the images that were bad, or None if one no longer is."""
        bad = [image_refs[position] for position in entry.bad]
        problems: dict[ImageRef, str] = {}
        here = Decoders(self.decoders.preprocess, worker_count(len(bad)), processes=False)  # they are few
        with closing(here):
            for chunk in here.stream(bad):
                problems |= {bad[chunk.start + position]: reason for position, reason in chunk.problems.items()}
        return problems if len(problems) == len(bad) else None

    def _good(self, name: str, image_refs: Sequence[ImageRef], problems: dict[ImageRef, str]) -> Iterator[np.ndarray]:
        """Yield the decodable images, uint8 (n, H, W, C) at a time; the others are added to `problems`."""
        for chunk in self.decoders.stream(image_refs):
            for position, reason in chunk.problems.items():
                problems[image_refs[chunk.start + position]] = reason
            yield np.delete(chunk.pixels, list(chunk.problems), axis=0) if chunk.problems else chunk.pixels
            self._report(f"decoding {name}", chunk.start + len(chunk.pixels), len(image_refs))

    def _report(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)

    def _key(self, kind: str, image_refs: Sequence[ImageRef]) -> str:
        return key_of(kind, [self.stamps[image_ref] for image_ref in image_refs], self.decoders.preprocess)

    def _shape(self, count: int) -> Shape:
        return (count, *self.decoders.shape)


def _positions(image_refs: Sequence[ImageRef], problems: Mapping[ImageRef, str]) -> tuple[int, ...]:
    return tuple(position for position, image_ref in enumerate(image_refs) if image_ref in problems)


def _good_labels(image_refs: Sequence[ImageRef], labels: Tensor, problems: Mapping[ImageRef, str]) -> Tensor:
    return labels[[position for position, image_ref in enumerate(image_refs) if image_ref not in problems]]


def location_notes(
    cached: Mapping[str, int], folder: Path, on_demand: Mapping[str, int], workers: int, reason: str
) -> list[str]:
    """Return notes on where the decoded images are.

    Args:
        cached: by split, the bytes of the images that were decoded into the cache.
        folder: the cache.
        on_demand: by split, the bytes of the images that are decoded on demand.
        workers: how many processes decode them.
        reason: why they are not in the cache.
    """
    notes = []
    if cached:
        notes.append(
            f"cached {readable(sum(cached.values()))} of decoded images in {folder}; --cache-size limits that folder"
        )
    if on_demand:
        by = f"{workers} processes" if workers > 1 else "1 process"
        size = readable(sum(on_demand.values()))
        notes.append(
            f"the images of {', '.join(on_demand)} ({size} decoded) are decoded in every epoch, by {by}: {reason}"
        )
    return notes
