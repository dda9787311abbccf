"""Results of a function of the step, made by other threads before they are asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from striate.hardware import single_core_threads

Result = TypeVar("Result")


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
