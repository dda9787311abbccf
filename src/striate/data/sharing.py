"""Who takes which part of the work: every position goes to one worker of one process, and none is left over."""

from striate.errors import ArgumentError


def share(count: int, rank: int = 0, world: int = 1, worker: int = 0, workers: int = 1) -> range:
    """The positions of 0 … count - 1 that worker `worker` of `workers` in process `rank` of `world` takes.

    All these ranges together hold every position once, however the numbers divide: nothing is repeated to make shares
    even, and the shares of two processes, or of two workers of a process, differ by one position at most. A process's
    positions don't depend on how many workers it has.

    Raises:
        ArgumentError: if there are no such process and worker.
    """
    if not (0 <= rank < world and 0 <= worker < workers):
        raise ArgumentError(f"there is no worker {worker} of {workers} in process {rank} of {world}: count from 0.")
    return range(rank, count, world)[worker::workers]
