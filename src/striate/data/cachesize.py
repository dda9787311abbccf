"""How much disk the cache of decoded images may take, and how people write such sizes."""

import contextlib
import os
import re
import shutil
from pathlib import Path

from striate.errors import ArgumentError

USUAL = 20 * 10**9
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def bytes_of(text: str) -> int:
    """A size such as "8GB", "1.5 GB", "500MB" or "0" in bytes; "GB" is 10⁹ bytes and "GiB" 2³⁰.

    Raises:
        ArgumentError: for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise ArgumentError(f"cache size '{text}': write it as in 8GB, 500MB or 0 (no cache).")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def readable(size: int) -> str:
    """Bytes for people, as in 1.2 GB: 10⁹ of them are a GB."""
    power = min(4, max(0, len(str(size)) - 1) // 3)
    return f"{size / 1000**power:.1f}".removesuffix(".0") + f" {('bytes', 'KB', 'MB', 'GB', 'TB')[power]}"


def usual(folder: Path) -> int:
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
