"""Cache folder with a size limit, shared by processes; the least recently used entries are removed first.

KEY/about.json         written last: a folder without it is half-built, and never used
KEY/pixels             the bytes themselves, where there are any
KEY/used-….lock        one for each time that KEY is open, held while it is
KEY/unflushed-…        there until all of KEY is on the disk; meanwhile KEY is used while a process has a lock in it
KEY/flushing-….lock    held by the process that flushes KEY to the disk; KEY may be removed nevertheless
KEY.part/making.lock   held by the process that makes KEY; others may help it, see `Filling`
KEY.lock               held by a process that looks for KEY's metadata, where others wait for them
.lock                  held for moments: while an entry is begun, put in place, looked up, opened or removed
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from striate.errors import CheckpointError
from striate.files import acquire_lock, is_locked, read_json, release_lock, sealed, unsealed, write_json
from striate.units import readable

_SPARE = 2**30  # bytes of the disk left free for others


class NoSpaceError(Exception):
    """An entry does not fit; the message is a clause that gives the reason."""


class Store:
    """A cache folder with a size limit, see the module's docstring for its layout.

    Args:
        folder: created if it does not exist.
        limit: the most bytes that all of it may take.

    Raises:
        OSError: here and from every method, if the folder can't be used.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder = folder
        self.limit = limit
        self._making: dict[str, FileLock] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, key: str, size: int, seen: Any = None) -> Path | None:
        """Begin an entry: create a folder with a file `pixels` of `size` bytes, to fill and then to `keep` or `drop`.

        Args:
            key: the entry's key.
            size: in bytes.
            seen: the last result of `about` for this key; None for no entry.

        Returns:
            The folder, or None if another process is making `key` now, or has made it since `seen`.

        Raises:
            NoSpaceError: if the entry does not fit.
        """
        part = self.part(key)
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

    def part(self, key: str) -> Path:
        """Return the folder in which a process makes an entry, if one does."""
        return self.folder / f"{key}.part"

    @contextmanager
    def turn(self, key: str, wait: Callable[[], None]) -> Iterator[None]:
        """Let one process at a time into the block; `wait` is called again and again before it is this one's turn."""
        while True:
            try:
                lock = acquire_lock(self.folder / f"{key}.lock")
                break
            except Timeout:
                wait()
        try:
            yield
        finally:
            release_lock(lock)

    def keep(self, key: str, about: Mapping[str, Any]) -> None:
        """Complete an entry: put its folder in place, with `about` as its metadata.

        A thread, which Python waits for when it ends, flushes it to the disk; after a power cut or the killing of this
        process before that, the entry is made again.
        """
        part, place = self.part(key), self.folder / key
        mark = f"unflushed-{uuid.uuid4().hex}"
        (part / mark).touch()
        (part / "about.json").write_text(json.dumps(sealed(about)), encoding="utf-8")
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
        """Discard an entry that was begun; does nothing if it was kept."""
        if key in self._making:
            release_lock(self._making.pop(key))
            shutil.rmtree(self.part(key), ignore_errors=True)

    def note(self, key: str, about: Mapping[str, Any]) -> None:
        """Store an entry that has metadata only, and no pixels."""
        write_json(self.folder / key / "about.json", sealed(about))

    def about(self, key: str) -> dict[str, Any] | None:
        """Return the metadata of `key`, or None if there is no such entry."""
        if not _is_marked(self.folder / key):
            return self._about(key)
        try:
            with self._locked():  # or another process that tests for locks would seem to hold one
                return self._about(key)
        except OSError:  # it can be made again
            return None

    def open(self, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the pixels of `key`, uint8 of `shape`, mapped into memory; None if they are missing or incomplete.

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
        """Remove entries until the limit is met, and half-built entries."""
        with self._locked():
            self._free_space(0)

    def forget(self, key: str) -> None:
        """Invalidate `key`, so that it is made again next time; processes that have it open keep it."""
        (self.folder / key / "about.json").unlink(missing_ok=True)

    def _about(self, key: str) -> dict[str, Any] | None:
        place = self.folder / key
        if _is_lost(place):
            return None
        try:
            value = read_json(place / "about.json")
            os.utime(place / "about.json")
        except (CheckpointError, OSError):  # not there, or damaged
            return None
        return value if isinstance(value, dict) and unsealed(value) else None

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
        """Remove half-built entries, and then the least recently used ones, until `size` more bytes fit."""
        sizes = {place: _size(place) for place in self.folder.iterdir() if place.is_dir()}
        removable = [place for place in sorted(sizes, key=_last_used) if not is_locked(place)]
        excess = sum(sizes.values()) + size - self.limit
        shortage = size + _SPARE - shutil.disk_usage(self.folder).free
        if size:  # if it can't succeed, nothing is removed
            self._check(size, excess, shortage, sum(sizes[place] for place in removable))
        for place in removable:
            if max(excess, shortage) > 0 or not (place / "about.json").exists() or _is_lost(place):
                _remove(place)
                excess, shortage = excess - sizes[place], shortage - sizes[place]

    def _check(self, size: int, excess: int, shortage: int, removable: int) -> None:
        if size > self.limit:
            raise NoSpaceError(f"the cache is limited to {readable(self.limit)}")
        if shortage > removable:
            raise NoSpaceError(f"the disk of {self.folder} is too full by {readable(shortage - removable)}")
        if excess > removable:
            raise NoSpaceError(
                f"the cache is limited to {readable(self.limit)}, and other processes are using its entries"
            )


def mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map a file into memory as an array, uint8 of `shape`.

    The array is writable, as PyTorch demands, but copy-on-write: the file is never changed.
    """
    if not math.prod(shape):
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="c", shape=shape)


def _is_marked(place: Path) -> bool:
    """Return whether parts of `place` may not be flushed to the disk yet."""
    return any(place.glob("unflushed-*"))


def _is_lost(place: Path) -> bool:
    """Return whether `place` may not be flushed to the disk and no process uses it, as after a crash."""
    # The flushing process removes the mark first, and then releases the lock.
    return _is_marked(place) and not is_locked(place, flushing=True) and _is_marked(place)


def _flush(place: Path, mark: str, lock: FileLock) -> None:
    """Flush `place` to the disk, then remove the mark of an unflushed folder and release the lock."""
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
                f"decoded images can't be written to disk ({error}): set another cache (STRIATE_CACHE)", stacklevel=1
            )
    finally:
        release_lock(lock)


def _remove(place: Path) -> None:
    """Remove a folder from which other processes may remove locks and marks meanwhile."""
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
    """Allocate the space on the disk now, so that a full disk shows before an hour of decoding and not after it."""
    if not hasattr(os, "posix_fallocate") or not size:
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # not every file system can
            raise
