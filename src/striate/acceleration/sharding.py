"""Batches sharded over CPU cores: each shard is computed by a thread on one core.

Cores that work on one layer together wait for each other after each step of it, and fetch what the other has computed.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from striate.acceleration.timing import quickest
from striate.hardware import single_core_threads

LEAST = 16  # images in a share

Result = TypeVar("Result")
BatchFunction = Callable[[Tensor], Tensor]  # from a batch to a result for each of its images


def shared(make: Callable[[Tensor], BatchFunction | None], pixels: Tensor) -> BatchFunction | None:
    """Make a function for batches of this shape, sharded over the cores or not, whichever is faster now.

    Args:
        make: gives a function for batches like the one it is shown, that threads may share, or `None` if there is none;
            called in inference mode.
        pixels: the batch.
    """
    together, count = make(pixels), torch.get_num_threads()
    if together is None or count == 1 or len(pixels) % count or len(pixels) < LEAST * count:
        return together
    threads = single_core_threads(count, "striate-predicting")
    own = threads.submit(_inferring(make), pixels[: len(pixels) // count]).result()
    if own is None:
        return together
    each = _inferring(own)

    def in_shares(pixels: Tensor) -> Tensor:
        return torch.cat(list(threads.map(each, pixels.chunk(count))))

    ways = (together, in_shares)
    return ways[quickest([partial(way, pixels) for way in ways])]


def _inferring(function: Callable[[Tensor], Result]) -> Callable[[Tensor], Result]:
    """The function in inference mode, which is set for each thread."""
    inferring: Callable[[Tensor], Result] = torch.inference_mode()(function)
    return inferring
