"""Choice of the number of threads by a rule: equal trainings on equal devices take equal numbers.

Threads that compute a layer together wait for each other at its end, busily, because the next layer follows at once. In
a small network they wait as long as they compute. Where other programs use the cores as well, each wait may last until
the system gives the other thread a core again, which is longer than the whole step: on two cores beside one busy loop
LeNet-5 trains 2.5 times as fast with one thread as with two, and alone at 0.78 of the speed.

No clock takes part, as the number of threads decides how sums round, and so the weights.
"""

import sys

import torch
from torch import Tensor, nn

from striate.acceleration.precision import multiply_adds

WORK = 10_000_000  # multiply-adds of a batch's forward pass for each thread: LeNet-5's batch of 32 gets one of them


def thread_limit(model: nn.Module, images: Tensor, batch_size: int, device: torch.device) -> int:
    """The number of CPU threads that have enough to do with a batch.

    Args:
        model: left as it is.
        images: one or more of its inputs, float32 (N, C, H, W).
        batch_size: images in a batch.
        device: where it computes.
    """
    if device.type != "cpu":
        return sys.maxsize
    return max(1, batch_size * multiply_adds(model, images[:1]) // WORK)
