"""Atomic writes of files and folders, reads of regular files with clear errors, file locks, and the cache folder.

Locks are the system's own: those of a process that was killed are free.
"""

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs
from filelock import FileLock, Timeout

from striate.errors import CheckpointError, StorageError

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # Windows has neither
_NOT_REGULAR = "not a regular file"


def write_atomic(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write `data` atomically: `path` holds either its old content or all of `data`, whatever happens meanwhile.

    A temporary file in the same folder is written, flushed to the disk and renamed over `path`; then the folder itself
    is flushed, so that the rename survives a power cut too.

    Raises:
        StorageError: if the disk is full or the place can't be written; no half-written file is left behind.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.writelines((data,) if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:  # after the rename there is nothing left to remove; after a failure or Ctrl-C there may be
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path, continues: str = "") -> Iterator[Path]:
    """Create a folder atomically: a temporary one becomes `path` after the block, or is removed if the block fails.

    It is next to `path` meanwhile, under a name that begins with a dot. `path` must not exist, or be an empty folder.

    Args:
        path: the folder.
        continues: what will be in it, as a word of letters and digits. If a process that wrote the same was killed,
            the block gets what it had written; what was left of something else is removed.

    Raises:
        StorageError: for any OSError in the block too: a full disk, a place that can't be written; or if another
            process is writing the same.
    """
    temporary = lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if continues:
            temporary, lock = _continued(path, continues)
        else:
            temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if lock is not None:
            release_lock(lock)
        for file in temporary.iterdir():
            with contextlib.suppress(FileNotFoundError):  # renamed by what a killed process had started
                _flush(file)
        _flush_folder(temporary)
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error, "") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _continued(path: Path, continues: str) -> tuple[Path, FileLock]:
    """The temporary folder for a content, and its lock; others that processes have left are removed."""
    start = f".{path.name}.of-"
    temporary = path.parent / f"{start}{continues}.part"
    for other in path.parent.glob(f"{glob.escape(start)}*.part"):
        if other != temporary and not is_locked(other):
            shutil.rmtree(other)
    temporary.mkdir(exist_ok=True)
    try:
        return temporary, acquire_lock(temporary / "making.lock")
    except Timeout:
        raise StorageError(f"another process is writing {path}: wait for it, or choose another place.") from None


def cannot_write(path: Path, error: OSError, option: str = " with --out") -> StorageError:
    """Return the error for a failed write: the system's message and a remedy; `option` is the command line's part."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"no space left to write {path}: free some space, or choose another place{option}.")
    return StorageError(f"can't write {path}: {error.strerror}; choose a place you may write to{option}.")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; see `json_bytes`."""
    write_atomic(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return `value` as indented JSON in UTF-8; what is not Unicode in a file's name becomes a JSON escape."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def open_regular(path: str | os.PathLike[str], buffering: int = -1) -> BinaryIO:
    """Open a regular file, or a link to one, to read its bytes. All files of the user are opened by this function.

    Anything else, such as a named pipe or a device, could keep its reader waiting for ever, or has no end.

    Args:
        path: the file.
        buffering: as for Python's `open`.

    Raises:
        OSError: if it can't be opened, or is no regular file; at once, whatever it is.
    """
    return open(path, "rb", buffering, opener=_regular)


def _regular(path: str, flags: int) -> int:
    """Open a file as `open` asks for it, without waiting for what may be at the other end; return its descriptor."""
    try:
        handle = os.open(path, flags | _AT_ONCE)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise OSError(errno.EINVAL, _NOT_REGULAR, path) from None
        raise
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # `open` itself refuses folders
        os.close(handle)
        raise OSError(errno.EINVAL, _NOT_REGULAR, path)
    return handle


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Read all bytes of a regular file.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """Read the value in a JSON file.

    Raises:
        CheckpointError: naming the file, if it is missing, unreadable, no regular file or not JSON.
    """
    try:
        return json.loads(read_regular(path).decode("utf-8"))
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error.strerror}.") from error
    except RecursionError:
        raise CheckpointError(f"{path} is damaged: it is nested too deep.") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON ({error}).") from error


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data`, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


CHECKSUM = "checksum"  # key of the SHA-256 of a JSON object's other values


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for a JSON file with their checksum."""
    return {**values, CHECKSUM: _of_values(values)}


def unsealed(values: dict[str, Any]) -> bool:
    """Remove the checksum that `sealed` added; return whether it is that of the other values, or there is none."""
    return CHECKSUM not in values or values.pop(CHECKSUM) == _of_values(values)


def _of_values(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode())


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows can't open a folder, and flushes its entry with the file
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems can't; the file itself is written and renamed
            os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """Return the folder for downloads and decoded images: $STRIATE_CACHE, or the system's place for caches.

    A user who has no home folder, as in some containers, gets one among the temporary files.
    """
    own = os.environ.get("STRIATE_CACHE")
    folder = Path(own) if own else Path(platformdirs.user_cache_dir("striate"))
    if own or folder.is_absolute():
        return folder
    return Path(tempfile.gettempdir()) / f"striate-{os.getuid()}"  # a user without a home: "~" stays as it is


def acquire_lock(path: Path) -> FileLock:
    """Acquire a lock on a new file."""
    lock = FileLock(path, timeout=0, thread_local=False)  # another thread may be the one that releases it
    lock.acquire()
    return lock


def release_lock(lock: FileLock) -> None:
    """Release a lock from `acquire_lock`, and remove its file."""
    lock.release()
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)


def is_locked(place: Path, *, flushing: bool = False) -> bool:
    """Return whether a process holds a lock in a folder; locks named "flushing-…" count only with `flushing`.

    A lock's file that no process holds is removed: its process was killed, or has just released it.
    """
    for path in place.glob("*.lock"):
        if path.name.startswith("flushing-") and not flushing:
            continue
        try:
            with FileLock(path, timeout=0), contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        except Timeout:
            return True
    return False
