"""Many images decoded: into memory, into the cache, or when they are asked for, whichever there is room for."""

import errno
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.data import lazy
from striate.data.cache.decoded import Cache, Kept, key_of
from striate.data.cache.store import NoRoomError, mapped
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import Entry, Stamp
from striate.data.lazy import Images, LazyImages
from striate.data.statistics import Known, Tally, known_of
from striate.errors import StorageError
from striate.hardware import worker_count
from striate.types import Progress
from striate.units import readable

IN_MEMORY = 256 * 10**6  # bytes of pixels that are decoded into memory where the cache is of no use

Shape = tuple[int, int, int, int]


class Read(NamedTuple):
    """The images that can be decoded, the reasons of the others, and what is known of the good ones already."""

    images: Images
    problems: dict[Entry, str]
    known: Known | None = None


class Reader:
    """Reads the splits of a data set.

    Args:
        classes: the names; labels are positions in it.
        decoders: what decodes.
        stamps: of every image, as they were before any was opened.
        cache: where to keep what is decoded; None for nowhere.
        skip_bad, progress: see `load`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        decoders: Decoders,
        stamps: Mapping[Entry, Stamp],
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
        self._made: dict[str, int] = {}  # by split, the bytes decoded into the cache
        self._asked: dict[str, int] = {}  # by split, the bytes that will be decoded when asked for
        self._why = "there is no cache"

    def read(self, name: str, entries: Sequence[Entry], labels: Tensor) -> Read:
        """The images of a split.

        Args:
            name: the split.
            entries: N images.
            labels: int64 (N,).

        Raises:
            DataError: if there is not memory enough.
        """
        size = math.prod(self._shape(len(entries)))
        if self.cache is not None and entries:
            try:
                return self._through(self.cache, name, entries, labels)
            except NoRoomError as error:
                self._why = str(error)
            except (OSError, StorageError) as error:
                self._why = f"the cache can't be used: {error}".rstrip(".")
        if size <= IN_MEMORY:
            return self._into_memory(name, entries)
        self._asked[name] = size
        return self._when_asked(name, entries, labels)

    @property
    def notes(self) -> list[str]:
        """What was decided so far, in sentences to be said aloud."""
        folder = self.cache.store.folder if self.cache is not None else Path()
        return of_places(self._made, folder, self._asked, self.decoders.workers, self._why)

    def _into_memory(self, name: str, entries: Sequence[Entry]) -> Read:
        images, count = np.empty(self._shape(len(entries)), dtype=np.uint8), 0
        problems: dict[Entry, str] = {}
        for pixels in self._good(name, entries, problems):
            images[count : count + len(pixels)] = pixels
            count += len(pixels)
        return Read(torch.from_numpy(images[:count]), problems)

    def _through(self, cache: Cache, name: str, entries: Sequence[Entry], labels: Tensor) -> Read:
        """From the cache, after decoding into it what it does not hold."""
        key = self._key("pixels", entries)
        while True:
            seen = cache.store.about(key)
            if (read := self._kept(cache, key, entries)) is not None:
                return read
            part = cache.store.begin(key, math.prod(self._shape(len(entries))), seen)
            if part is not None:
                break
            self._tell(f"waiting for another process that decodes {name}", 0, 0)
            time.sleep(0.2)
        try:
            problems, known = self._build(part / "pixels", name, entries, labels)
            cache.store.keep(key, Kept(_positions(entries, problems), known).to_dict())
        finally:
            cache.store.drop(key)
        shape = self._shape(len(entries) - len(problems))
        images = cache.opened(key, shape)
        if images is None:
            raise OSError(errno.ENOENT, "what was just written is gone", str(part))
        if any(entry.stamp != self.stamps[entry] for entry in entries):
            cache.store.forget(key)  # nobody knows which of its contents a file had when it was decoded
        self._made[name] = math.prod(shape)
        return Read(images, problems, known)

    def _build(
        self, path: Path, name: str, entries: Sequence[Entry], labels: Tensor
    ) -> tuple[dict[Entry, str], Known | None]:
        """Decode into a file; only what is known of "train" is ever asked for."""
        problems: dict[Entry, str] = {}
        tally = Tally(self.classes, self._shape(len(entries)), labels) if name == "train" else None
        with path.open("r+b") as file:
            for pixels in self._good(name, entries, problems):
                file.write(pixels.data)
                if tally is not None:
                    tally.add(pixels)
            file.truncate()
        if tally is None:
            return problems, None
        if not problems:
            return problems, tally.known()
        images = torch.from_numpy(mapped(path, self._shape(len(entries) - len(problems))))
        return problems, known_of(self.classes, images, _good_labels(entries, labels, problems))

    def _kept(self, cache: Cache, key: str, entries: Sequence[Entry]) -> Read | None:
        """What the cache holds, if it still holds: an image that was bad may be readable by now."""
        kept = cache.kept(key)
        problems = None if kept is None else self._still_bad(entries, kept)
        if kept is None or problems is None:
            return None
        images = cache.opened(key, self._shape(len(entries) - len(problems)))
        return None if images is None else Read(images, problems, kept.known)

    def _when_asked(self, name: str, entries: Sequence[Entry], labels: Tensor) -> Read:
        """All are decoded once, to know the bad ones, and what there is to know is kept."""
        key = self._key("survey", entries)
        kept = None if self.cache is None else self.cache.kept(key)
        if kept is not None and (still := self._still_bad(entries, kept)) is not None:
            return Read(self._lazy(entries, still), still, kept.known)
        problems: dict[Entry, str] = {}
        tally = Tally(self.classes, self._shape(len(entries)), labels)
        for pixels in self._good(name, entries, problems):
            tally.add(pixels)
        images = self._lazy(entries, problems)
        if not problems:
            known = tally.known()
        elif self.skip_bad:
            known = known_of(self.classes, images, _good_labels(entries, labels, problems))
        else:
            return Read(images, problems)
        if self.cache is not None:
            with suppress(OSError, StorageError):  # all will be decoded next time too
                self.cache.store.note(key, Kept(_positions(entries, problems), known).to_dict())
        return Read(images, problems, known)

    def _lazy(self, entries: Sequence[Entry], problems: Mapping[Entry, str]) -> LazyImages:
        return lazy.decoded([entry for entry in entries if entry not in problems], self.decoders)

    def _still_bad(self, entries: Sequence[Entry], kept: Kept) -> dict[Entry, str] | None:
        """The reasons of the images that were bad, or None if one no longer is."""
        bad = [entries[position] for position in kept.bad]
        problems: dict[Entry, str] = {}
        here = Decoders(self.decoders.preprocess, worker_count(len(bad)), processes=False)  # they are few
        with closing(here):
            for chunk in here.stream(bad):
                problems |= {bad[chunk.start + position]: reason for position, reason in chunk.problems.items()}
        return problems if len(problems) == len(bad) else None

    def _good(self, name: str, entries: Sequence[Entry], problems: dict[Entry, str]) -> Iterator[np.ndarray]:
        """The images that can be decoded, uint8 (n, H, W, C) at a time; the others are added to `problems`."""
        for chunk in self.decoders.stream(entries):
            for position, reason in chunk.problems.items():
                problems[entries[chunk.start + position]] = reason
            yield np.delete(chunk.pixels, list(chunk.problems), axis=0) if chunk.problems else chunk.pixels
            self._tell(f"decoding {name}", chunk.start + len(chunk.pixels), len(entries))

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)

    def _key(self, kind: str, entries: Sequence[Entry]) -> str:
        return key_of(kind, [self.stamps[entry] for entry in entries], self.decoders.preprocess)

    def _shape(self, count: int) -> Shape:
        return (count, *self.decoders.shape)


def _positions(entries: Sequence[Entry], problems: Mapping[Entry, str]) -> tuple[int, ...]:
    return tuple(position for position, entry in enumerate(entries) if entry in problems)


def _good_labels(entries: Sequence[Entry], labels: Tensor, problems: Mapping[Entry, str]) -> Tensor:
    return labels[[position for position, entry in enumerate(entries) if entry not in problems]]


def of_places(made: Mapping[str, int], folder: Path, asked: Mapping[str, int], workers: int, why: str) -> list[str]:
    """About where decoded images are.

    Args:
        made: by split, the bytes of the images that were decoded into the cache.
        folder: the cache.
        asked: by split, the bytes of those that are decoded whenever they are asked for.
        workers: how many processes decode them.
        why: why they are not in the cache.
    """
    said = []
    if made:
        said.append(
            f"kept {readable(sum(made.values()))} of decoded images in {folder}; --cache-size limits that folder"
        )
    if asked:
        by = f"{workers} processes" if workers > 1 else "1 process"
        size = readable(sum(asked.values()))
        said.append(f"the images of {', '.join(asked)} ({size} decoded) are decoded in every epoch, by {by}: {why}")
    return said
