"""Results of a function of the step, made by other threads before they are asked for."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")
_starting = threading.Lock()


class Ahead(Generic[Result]):
    """`make(step)` for any step; after a step, the next ones are already under way.

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
        """End the threads, after what they are doing now. They begin again when another step is asked for."""
        self._coming.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None


def single_core_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Threads whose tensor operations use one core, while those of all others use as many as before.

    Args:
        count: how many; all of them begin now.
        name: what their names begin with.
    """
    begun = threading.Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # or this thread would take over the number below when it first computes
        torch.set_num_threads(1)  # for this thread, and for those that begin later
        with suppress(threading.BrokenBarrierError):
            begun.wait()

    with _starting:  # another one here would take the 1 for the usual number
        usual = torch.get_num_threads()
        threads = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=begin)
        try:
            for _ in range(count):
                threads.submit(int)
            begun.wait()
        except BaseException:  # the system has no more threads, or Ctrl-C: those that have begun would wait for ever
            begun.abort()
            raise
        finally:
            torch.set_num_threads(usual)
    return threads
