"""Reading the splits of a data set: decoded into memory, into the cache, or on demand, depending on their size."""

import errno
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xxhash
from torch import Tensor

from striate.data import lazy
from striate.data.cache import Cache, CacheEntry, DamagedError, digest_of, key_of
from striate.data.cache_store import NoSpaceError, mapped
from striate.data.filling import Filling
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef
from striate.data.images.ref_lists import ref_list
from striate.data.lazy import Images, LazyImages
from striate.data.stamps import Stamps
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
        cache: the cache for decoded images, or None.
        skip_bad, progress: see `load`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        decoders: Decoders,
        cache: Cache | None = None,
        skip_bad: bool = False,
        progress: Progress | None = None,
    ):
        self.classes = classes
        self.decoders = decoders
        self.cache = cache
        self.skip_bad = skip_bad
        self.progress = progress
        self._cached_bytes: dict[str, int] = {}  # by split, the bytes decoded into the cache
        self._on_demand_bytes: dict[str, int] = {}  # by split, the bytes that will be decoded on demand
        self._damaged: list[str] = []  # splits whose cached images were not those that were written
        self._reason = "there is no cache"

    def read(self, name: str, image_refs: Sequence[ImageRef], stamps: Stamps, labels: Tensor) -> Read:
        """Read the images of a split.

        Args:
            name: the split.
            image_refs: N images.
            stamps: theirs, taken before any was opened.
            labels: int64 (N,).

        Raises:
            DataError: if there is not enough memory.
        """
        size = math.prod(self._shape(len(image_refs)))
        if self.cache is not None and image_refs:
            try:
                return self._from_cache(self.cache, name, image_refs, stamps, labels)
            except NoSpaceError as error:
                self._reason = str(error)
            except (OSError, StorageError) as error:
                self._reason = f"the cache can't be used: {error}".rstrip(".")
        if size <= IN_MEMORY:
            return self._into_memory(name, image_refs)
        self._on_demand_bytes[name] = size
        return self._on_demand(name, image_refs, stamps, labels)

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
        for pixels in self._good(name, image_refs, problems, self.decoders):
            images[count : count + len(pixels)] = pixels
            count += len(pixels)
        return Read(torch.from_numpy(images[:count]), problems)

    def _from_cache(
        self, cache: Cache, name: str, image_refs: Sequence[ImageRef], stamps: Stamps, labels: Tensor
    ) -> Read:
        """Read from the cache, after decoding into it the images that it does not hold.

        Where another process is doing that, this one decodes a share of them.
        """
        shape = self._shape(len(image_refs))
        if math.prod(shape) > cache.store.limit:  # known before millions of files are told apart
            raise NoSpaceError(f"the cache is limited to {readable(cache.store.limit)}")
        key = key_of("pixels", stamps, self.decoders.preprocess)
        while True:
            seen = cache.store.about(key)
            try:
                read = self._cached(cache, key, image_refs)
            except DamagedError:
                self._damaged.append(name)
                continue
            if read is not None:
                return read
            part = cache.store.begin(key, math.prod(shape), seen)
            if part is not None:
                break
            self._help(cache.store.part(key), shape, name, image_refs)
            self._wait(name)
        try:
            problems, stats, digest = self._build(Filling(part, shape, makes=True), name, image_refs, labels)
            cache.store.keep(key, CacheEntry(_positions(image_refs, problems), stats, digest).to_dict())
        finally:
            cache.store.drop(key)
        shape = self._shape(len(image_refs) - len(problems))
        images = cache.opened(key, shape)
        if images is None:
            raise OSError(errno.ENOENT, "the new cache entry is gone", str(part))
        if not stamps.hold():
            cache.store.forget(key)  # it is unknown which content a changed file had when it was decoded
        self._cached_bytes[name] = math.prod(shape)
        return Read(images, problems, stats)

    def _build(
        self, filling: Filling, name: str, image_refs: Sequence[ImageRef], labels: Tensor
    ) -> tuple[dict[ImageRef, str], ImageStatistics | None, str]:
        """Decode into a file, together with whoever helps; statistics are only of "train", as no others are used.

        Returns:
            The reasons for the bad images, the statistics, and the digest of the file.
        """
        running = RunningStatistics(self.classes, filling.shape, labels) if name == "train" else None
        ended = threading.Event()
        with ThreadPoolExecutor(1) as pool, closing(filling):
            summary = pool.submit(_summarized, filling, running, ended)
            try:
                while filling.images_done < len(image_refs):
                    self._fill(filling, name, image_refs)
                    time.sleep(0.01)  # others are decoding the last ones
                digest = summary.result()
            finally:
                ended.set()
            bad = filling.problems()
            if bad:
                filling.leave_out(set(bad))
            filling.close(remove=True)
        problems = {image_refs[position]: reason for position, reason in bad.items()}
        if not bad:
            return problems, None if running is None else running.statistics(), digest
        images = mapped(filling.path, self._shape(len(image_refs) - len(bad)))
        good = _good_labels(image_refs, labels, problems)
        stats = None if running is None else statistics_of(self.classes, torch.from_numpy(images), good)
        return problems, stats, digest_of(images)

    def _help(self, folder: Path, shape: Shape, name: str, image_refs: Sequence[ImageRef]) -> None:
        """Decode a share for the process that makes an entry, if one does."""
        try:
            filling = Filling(folder, shape, makes=False)
        except OSError:  # it has just been finished, or given up, or there is nothing to help with yet
            return
        with closing(filling), suppress(OSError, StorageError):
            self._fill(filling, name, image_refs, helps=True)

    def _fill(self, filling: Filling, name: str, image_refs: Sequence[ImageRef], helps: bool = False) -> None:
        """Decode the blocks that no process has taken yet, until there are none."""
        for number, block in enumerate(filling.blocks):
            with filling.taken(number) as own:
                if not own:
                    continue
                if helps and filling.is_given_up:
                    return
                problems: dict[int, str] = {}
                done = filling.images_done
                filling.pixels.seek(block.start * math.prod(filling.shape[1:]))
                for chunk in self.decoders.stream(image_refs[block.start : block.stop]):
                    start = block.start + chunk.start
                    problems |= {start + position: reason for position, reason in chunk.problems.items()}
                    filling.pixels.write(chunk.pixels.data)
                    self._report(f"decoding {name}", done + chunk.start + len(chunk.pixels), len(image_refs))
                filling.finish(number, problems)

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

    def _on_demand(self, name: str, image_refs: Sequence[ImageRef], stamps: Stamps, labels: Tensor) -> Read:
        """Return lazy images, after decoding all once to find the bad ones; bad ones and statistics are cached.

        One process of a machine does that with all its cores, while others wait for what it finds.
        """
        if self.cache is None:
            return self._surveyed(name, image_refs, labels, None, "")
        key = key_of(f"survey of {stamps.digest}", (), self.decoders.preprocess)
        with self.cache.store.turn(key, lambda: self._wait(name)):
            entry = self.cache.entry(key)
            if entry is not None and (still := self._still_bad(image_refs, entry)) is not None:
                return Read(self._lazy(image_refs, still), still, entry.stats)
            return self._surveyed(name, image_refs, labels, self.cache, key)

    def _surveyed(
        self, name: str, image_refs: Sequence[ImageRef], labels: Tensor, cache: Cache | None, key: str
    ) -> Read:
        problems: dict[ImageRef, str] = {}
        running = RunningStatistics(self.classes, self._shape(len(image_refs)), labels)
        with self._all_cores(len(image_refs)) as decoders:
            for pixels in self._good(name, image_refs, problems, decoders):
                running.add(pixels)
        images = self._lazy(image_refs, problems)
        if not problems:
            stats = running.statistics()
        elif self.skip_bad:
            stats = statistics_of(self.classes, images, _good_labels(image_refs, labels, problems))
        else:
            return Read(images, problems)
        if cache is not None:
            with suppress(OSError, StorageError):  # all will be decoded next time too
                cache.store.note(key, CacheEntry(_positions(image_refs, problems), stats).to_dict())
        return Read(images, problems, stats)

    def _lazy(self, image_refs: Sequence[ImageRef], problems: Mapping[ImageRef, str]) -> LazyImages:
        if problems:
            good = np.flatnonzero([image_ref not in problems for image_ref in image_refs])
            image_refs = ref_list(image_refs).chosen(good)
        return lazy.decoded(image_refs, self.decoders)

    def _still_bad(self, image_refs: Sequence[ImageRef], entry: CacheEntry) -> dict[ImageRef, str] | None:
        """Return the reasons for the images that were bad, or None if one no longer is."""
        bad = [image_refs[position] for position in entry.bad]
        problems: dict[ImageRef, str] = {}
        here = Decoders(self.decoders.preprocess, worker_count(len(bad)), processes=False)  # they are few
        with closing(here):
            for chunk in here.stream(bad):
                problems |= {bad[chunk.start + position]: reason for position, reason in chunk.problems.items()}
        return problems if len(problems) == len(bad) else None

    @contextmanager
    def _all_cores(self, images: int) -> Iterator[Decoders]:
        """Decoders on all cores, while the machine's other processes wait."""
        workers = worker_count(images, processes=1)
        if workers <= self.decoders.workers:
            yield self.decoders
            return
        with closing(Decoders(self.decoders.preprocess, workers, processes=True)) as decoders:
            yield decoders

    def _wait(self, name: str) -> None:
        self._report(f"waiting for another process that decodes {name}", 0, 0)
        time.sleep(0.2)

    def _good(
        self, name: str, image_refs: Sequence[ImageRef], problems: dict[ImageRef, str], decoders: Decoders
    ) -> Iterator[np.ndarray]:
        """Yield the decodable images, uint8 (n, H, W, C) at a time; the others are added to `problems`."""
        for chunk in decoders.stream(image_refs):
            for position, reason in chunk.problems.items():
                problems[image_refs[chunk.start + position]] = reason
            yield np.delete(chunk.pixels, list(chunk.problems), axis=0) if chunk.problems else chunk.pixels
            self._report(f"decoding {name}", chunk.start + len(chunk.pixels), len(image_refs))

    def _report(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)

    def _shape(self, count: int) -> Shape:
        return (count, *self.decoders.shape)


def _summarized(filling: Filling, running: RunningStatistics | None, ended: threading.Event) -> str:
    """The digest of a file that is being filled, block by block in their order; statistics are added up, if wanted."""
    digest = xxhash.xxh3_128()
    for number in range(len(filling.blocks)):
        while not filling.is_done(number):
            if ended.wait(0.01):
                return ""
        pixels = np.ascontiguousarray(filling.of_block(number))
        digest.update(pixels.data)
        if running is not None:
            running.add(pixels)
    return digest.hexdigest()


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
