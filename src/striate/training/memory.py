"""Memory that one step gives back and the next one takes again stays with the process."""

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST = 32 * 2**20  # bytes; glibc refuses more for the latter
_KEPT = 2**30


@cache
def keep_memory() -> bool:
    """Let glibc keep up to 1 GiB of what was freed; tells whether it does. Where there is no glibc, nothing happens.

    It would return large blocks to the system, which clears every page before it hands it out again: with one thread
    LeNet-5 trains a sixth faster without that, and the textbook's network a thirtieth.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))
