"""Prefetching by threads, and memory that is used again."""

import math
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from numpy import ndarray
from torch import Tensor

from striate.hardware import single_core_threads

Result = TypeVar("Result")


class Prefetcher(Generic[Result]):
    """Prefetching of `make(step)`: while one result is used, threads make the next ones.

    What comes out is what `make` gives, whatever was asked for before; an exception comes with its own step. The
    threads end with `close`, and by themselves when nothing refers to this object any more.

    Args:
        make: a function of the step alone, that may be called from several threads.
        depth: how many steps are made ahead.
        threads: how many make them. Each uses one core: the others are for whoever uses the results.
    """

    def __init__(self, make: Callable[[int], Result], depth: int, threads: int = 1):
        self._make = make
        self._depth = depth
        self._count = threads
        self._coming: dict[int, Future[Result]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def __getitem__(self, step: int) -> Result:
        """The result of a step, once it is there."""
        if self._threads is None:
            self._threads = single_core_threads(self._count, "striate-batches")
        wanted = range(step, step + 1 + self._depth)
        for other in [other for other in self._coming if other not in wanted]:
            self._coming.pop(other).cancel()
        for each in wanted:
            if each not in self._coming:
                self._coming[each] = self._threads.submit(self._make, each)
        return self._coming.pop(step).result()

    def close(self) -> None:
        """Stop the threads after their current work. They begin again when another step is asked for."""
        self._coming.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None


class MemoryPool:
    """Tensors on the CPU whose memory is used again once nothing refers to it any more. Threads may share it.

    Memory that a process has never used is cleared by the system first, page by page. The C library's heap does not
    help: small blocks come to lie where a batch was, and the next batch finds no room.

    Args:
        dtype: of all of them.
        most: how many times a tensor's memory is kept without being used; what is more is given back.
    """

    def __init__(self, dtype: torch.dtype, most: int):
        self._dtype = dtype
        self._free: deque[ndarray] = deque(maxlen=most)

    def empty(self, *shape: int) -> Tensor:
        """Return an uninitialised tensor of this shape."""
        size = math.prod(shape)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = None
        if memory is None or len(memory) < size:
            memory = torch.empty(size, dtype=self._dtype).numpy()
        lent = memory[:size]  # the tensor and all its views keep this one, and no other
        weakref.finalize(lent, self._free.append, memory).atexit = False  # what is in use at the end stays so
        return torch.from_numpy(lent).view(shape)

    def clear(self) -> None:
        """Release the memory that is not used now."""
        self._free.clear()
