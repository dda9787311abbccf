"""Batches, or shards of one, computed by a thread on each CPU core.

Cores that work on one layer together wait for each other after each step of it, and fetch what the other has computed.
Where another program uses one of them, every such wait lasts until the system gives that core back.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from striate.hardware import single_core_threads

LEAST = 16  # images in a shard
AHEAD = 32  # batches that wait for a thread, or for the ones before them to be done

Result = TypeVar("Result")
BatchFunction = Callable[[Tensor], Tensor]  # from a batch to a result for each of its images


def shared(make: Callable[[Tensor], BatchFunction | None], pixels: Tensor) -> BatchFunction | None:
    """Make a function for batches of this shape: sharded over the cores where each core's shard is large enough.

    Args:
        make: returns a function for batches like the one passed to it, that threads may share, or `None`; called in
            inference mode.
        pixels: the batch.
    """
    count = torch.get_num_threads()
    if count == 1 or len(pixels) % count or len(pixels) < LEAST * count:
        return make(pixels)
    threads = single_core_threads(count, "striate-predicting")
    own = threads.submit(_inferring(make), pixels[: len(pixels) // count]).result()
    if own is None:
        return None
    each = _inferring(own)

    def sharded(pixels: Tensor) -> Tensor:
        return torch.cat(list(threads.map(each, pixels.chunk(count))))

    return sharded


def in_order(function: BatchFunction, batches: Iterable[Tensor], threads: ThreadPoolExecutor) -> Iterator[Tensor]:
    """Yield the result of each batch, in order; threads compute a batch each, and only a few are taken ahead."""
    pending: deque[Future[Tensor]] = deque()
    for batch in batches:
        pending.append(threads.submit(function, batch))
        if len(pending) > AHEAD:
            yield pending.popleft().result()
    for each in pending:
        yield each.result()


def _inferring(function: Callable[[Tensor], Result]) -> Callable[[Tensor], Result]:
    """The function in inference mode, which is set for each thread."""
    inferring: Callable[[Tensor], Result] = torch.inference_mode()(function)
    return inferring
