"""A folder of things that can be made again, bounded in size: what was used longest ago is removed first.

KEY/about.json         written last: a folder without it is half-built, and never used
KEY/pixels             the bytes themselves, where there are any
KEY/used-….lock        one for each time that KEY is open, held as long
KEY/unflushed-…        there until all of KEY is on the disk; meanwhile KEY is used while a process has a lock in it
KEY/flushing-….lock    held by the process that flushes KEY to the disk; KEY may be removed nevertheless
KEY.part/making.lock   held by the process that makes KEY
.lock                  held for moments: while something is begun, put in place, looked at, opened or removed
"""

import contextlib
import errno
import json
import math
import os
import shutil
import threading
import uuid
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from striate.errors import CheckpointError
from striate.files import acquire_lock, is_locked, read_json, release_lock, write_json
from striate.units import readable

_SPARE = 2**30  # bytes of the disk left to others


class NoSpaceError(Exception):
    """Something does not fit; the message is a clause that says why."""


class Store:
    """See above.

    Args:
        folder: made if it is not there.
        limit: how many bytes all of it may take.

    Raises:
        OSError: here and from every method, if the folder can't be used.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder = folder
        self.limit = limit
        self._making: dict[str, FileLock] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, key: str, size: int, seen: Any = None) -> Path | None:
        """Begin to make `key`: a folder with a file `pixels` of `size` bytes, to fill and then to `keep` or to `drop`.

        Args:
            key: what to make.
            size: in bytes.
            seen: what `about` told of `key` before; None for nothing.

        Returns:
            The folder, or None if another process is making `key` now, or has made it since that was seen.

        Raises:
            NoSpaceError: if it can't be made to fit.
        """
        part = self._part(key)
        with self._locked():
            if part.exists():
                if is_locked(part):
                    return None
                _remove(part)
            if self._about(key) != seen:
                return None
            self._free_space(size)
            part.mkdir()
            self._making[key] = acquire_lock(part / "making.lock")
            try:
                with (part / "pixels").open("wb") as file:
                    _preallocate(file.fileno(), size)
            except BaseException:
                self.drop(key)
                raise
        return part

    def keep(self, key: str, about: Any) -> None:
        """Put in place what was begun, once it is complete.

        It is flushed to the disk by a thread, which Python waits for when it ends; where a power cut or the killing of
        this process comes before that, it is made again.
        """
        part, place = self._part(key), self.folder / key
        mark = f"unflushed-{uuid.uuid4().hex}"
        (part / mark).touch()
        (part / "about.json").write_text(json.dumps(about), encoding="utf-8")
        with self._locked():
            release_lock(self._making.pop(key))
            if is_locked(place):  # it was forgotten, but someone still has it open
                (place / "about.json").unlink(missing_ok=True)
                os.replace(place, self.folder / f"{key}.{uuid.uuid4().hex}")
            elif place.exists():
                _remove(place)
            os.replace(part, place)
            lock = acquire_lock(place / f"flushing-{uuid.uuid4().hex}.lock")
        try:
            threading.Thread(target=_flush, args=(place, mark, lock), name="striate-flushing").start()
        except RuntimeError:  # the system has no more threads
            _flush(place, mark, lock)

    def drop(self, key: str) -> None:
        """Forget what was begun; nothing happens if it was kept."""
        if key in self._making:
            release_lock(self._making.pop(key))
            shutil.rmtree(self._part(key), ignore_errors=True)

    def note(self, key: str, about: Any) -> None:
        """Keep something that has no pixels."""
        write_json(self.folder / key / "about.json", about)

    def about(self, key: str) -> Any:
        """What is known of `key`, or None if it is not there."""
        if not _is_marked(self.folder / key):
            return self._about(key)
        try:
            with self._locked():  # or another who looks for locks would seem to hold one
                return self._about(key)
        except OSError:  # it can be made again
            return None

    def open(self, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """The pixels of `key`, uint8 of `shape`, mapped into memory; None if they are not there or not whole.

        They are not removed as long as this array, or a tensor over it, exists.
        """
        place = self.folder / key
        with self._locked():
            if self._about(key) is None or not _has(place / "pixels", math.prod(shape)):
                return None
            pixels = mapped(place / "pixels", shape)
            weakref.finalize(pixels, release_lock, acquire_lock(place / f"used-{uuid.uuid4().hex}.lock"))
        return pixels

    def trim(self) -> None:
        """Remove what is beyond the limit, and what is half-built."""
        with self._locked():
            self._free_space(0)

    def forget(self, key: str) -> None:
        """Have `key` made again next time; who has it open keeps it."""
        (self.folder / key / "about.json").unlink(missing_ok=True)

    def _about(self, key: str) -> Any:
        place = self.folder / key
        if _is_lost(place):
            return None
        try:
            value = read_json(place / "about.json")
            os.utime(place / "about.json")
        except (CheckpointError, OSError):  # not there, or damaged
            return None
        return value

    def _part(self, key: str) -> Path:
        return self.folder / f"{key}.part"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.folder / ".lock", timeout=60)
        try:
            lock.acquire()
        except NotImplementedError as error:
            raise OSError(errno.ENOLCK, "its file system has no locks", str(self.folder)) from error
        try:
            yield
        finally:
            lock.release()

    def _free_space(self, size: int) -> None:
        """Remove what is half-built, and then what was used longest ago, until `size` bytes more fit."""
        sizes = {place: _size(place) for place in self.folder.iterdir() if place.is_dir()}
        removable = [place for place in sorted(sizes, key=_last_used) if not is_locked(place)]
        excess = sum(sizes.values()) + size - self.limit
        shortage = size + _SPARE - shutil.disk_usage(self.folder).free
        if size:  # what can't succeed removes nothing
            self._check(size, excess, shortage, sum(sizes[place] for place in removable))
        for place in removable:
            if max(excess, shortage) > 0 or not (place / "about.json").exists() or _is_lost(place):
                _remove(place)
                excess, shortage = excess - sizes[place], shortage - sizes[place]

    def _check(self, size: int, excess: int, shortage: int, removable: int) -> None:
        if size > self.limit:
            raise NoSpaceError(f"the cache may take {readable(self.limit)}")
        if shortage > removable:
            raise NoSpaceError(f"the disk of {self.folder} is too full by {readable(shortage - removable)}")
        if excess > removable:
            raise NoSpaceError(
                f"the cache may take {readable(self.limit)}, and other processes are using what is in it"
            )


def mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A file as an array, uint8 of `shape`, that reads it when it is looked at.

    It can be written to, which PyTorch wants of arrays, but nobody else sees that: the file is never changed.
    """
    if not math.prod(shape):
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="c", shape=shape)


def _is_marked(place: Path) -> bool:
    """Whether not all that is in `place` may be on the disk."""
    return any(place.glob("unflushed-*"))


def _is_lost(place: Path) -> bool:
    """Whether it may not be on the disk and no process has it in memory either."""
    # Whoever flushes takes the mark away first, and then gives back the lock.
    return _is_marked(place) and not is_locked(place, flushing=True) and _is_marked(place)


def _flush(place: Path, mark: str, lock: FileLock) -> None:
    """See to it that what is in `place` is on the disk, and then take the mark away that says it may not be."""
    try:
        for name in ("pixels", "about.json"):
            with (place / name).open("r+b") as file:
                os.fsync(file.fileno())
        (place / mark).unlink(missing_ok=True)
    except FileNotFoundError:  # it was forgotten or removed meanwhile
        pass
    except OSError as error:
        if (place / mark).exists():  # this is still the folder that was to be flushed
            with contextlib.suppress(OSError):
                (place / "about.json").unlink(missing_ok=True)
            warnings.warn(
                f"the disk refuses decoded images ({error}): choose another cache (STRIATE_CACHE)", stacklevel=1
            )
    finally:
        release_lock(lock)


def _remove(place: Path) -> None:
    """Remove a folder from which locks and marks may vanish meanwhile."""
    while place.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place)


def _has(path: Path, size: int) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size == size
    return False


def _size(place: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in place.iterdir())
    return 0


def _last_used(place: Path) -> float:
    with contextlib.suppress(OSError):
        return (place / "about.json").stat().st_mtime
    return 0.0


def _preallocate(file: int, size: int) -> None:
    """Take the space on the disk now, so that a full one shows before an hour of decoding and not after it."""
    if not hasattr(os, "posix_fallocate") or not size:
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # not every file system can
            raise
