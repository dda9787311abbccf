"""Locks on files in a folder, which tell who uses it.

They are the system's own: those of a process that was killed are free.
"""

import contextlib
from pathlib import Path

from filelock import FileLock, Timeout


def taken(path: Path) -> FileLock:
    """A lock on a new file."""
    lock = FileLock(path, timeout=0, thread_local=False)  # whichever thread is the last to use it gives it back
    lock.acquire()
    return lock


def give_back(lock: FileLock) -> None:
    """Release what was `taken`, and remove its file."""
    lock.release()
    with contextlib.suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)


def in_use(place: Path, *, flushing: bool = False) -> bool:
    """Whether a process holds a lock in a folder; one whose name begins with "flushing-" counts only where it is asked
    for."""
    for path in place.glob("*.lock"):
        if path.name.startswith("flushing-") and not flushing:
            continue
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return True
    return False
