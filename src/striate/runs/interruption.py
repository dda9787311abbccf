"""Early ends of a run: Ctrl-C and SIGTERM, and too little memory."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Record Ctrl-C and SIGTERM for the loop to check after each step; pressing it again changes nothing."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def handle(number: int, frame: Any) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_out_of_memory(error: Exception) -> bool:
    """True for errors of too little memory; PyTorch's on the CPU is a RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
