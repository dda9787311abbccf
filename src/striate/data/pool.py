"""Memory that batches take in turn: what a process never used before, the system clears first, page by page.

The C library's heap does not serve for it: small things come to lie where a batch was, and the next finds no room.
"""

import math
import weakref
from collections import deque

import torch
from numpy import ndarray
from torch import Tensor


class Pool:
    """Tensors on the CPU whose memory is taken again once nothing refers to it any more. Threads may share it.

    Args:
        dtype: of all of them.
        most: how many times a tensor's memory is kept without being used; what is more is given back.
    """

    def __init__(self, dtype: torch.dtype, most: int):
        self._dtype = dtype
        self._free: deque[ndarray] = deque(maxlen=most)

    def empty(self, *shape: int) -> Tensor:
        """A tensor of this shape, with any values."""
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
        """Give back what is not used now."""
        self._free.clear()
