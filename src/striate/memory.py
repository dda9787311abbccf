"""Memory that one step gives back and the next one takes again stays with the process."""

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt(3)
_KEPT = 2**30  # bytes


@cache
def keep_memory() -> bool:
    """Let glibc keep what was freed, up to 1 GiB at the end of its heap; tells whether it does. It lasts as long as the
    process. Where there is no glibc, nothing happens.

    It would take large blocks from the system and give them back each time, and the system clears every page before
    it hands it out. Threads that begin from now on share one heap, as one of their own holds 64 MiB at most. So it
    is best called before any other has begun.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, _KEPT), mallopt(_ARENA_MAX, 1)])
