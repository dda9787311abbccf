"""Processes that torchrun started: how one joins the others."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from striate.errors import ArgumentError, LostProcessError
from striate.processes.world import ALONE, World, timeout, together

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # that torchrun sets for each process


def started() -> bool:
    """True if torchrun, or whoever sets the same variables, started this process as one of several."""
    return all(os.environ.get(name) for name in VARIABLES) and os.environ["WORLD_SIZE"] != "1"


def restarts() -> int:
    """The number of times that torchrun has started the processes again after one of them had ended."""
    text = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    return int(text) if text.isdecimal() else 0


@contextmanager
def joined() -> Iterator[World]:
    """Work together with the other processes that torchrun started, inside the block; alone if it started none.

    Gloo carries what is on the CPU, and NCCL what is on GPUs. SIGTERM, with which torchrun ends the others where one
    has failed, ends the block as Ctrl-C does.

    Raises:
        ArgumentError: if the port is taken.
        LostProcessError: if the other processes can't be reached.
    """
    if not started():
        yield ALONE
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what went wrong is told in one line, without its stack
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout()))
    except (RuntimeError, ValueError) as error:
        raise _unreachable(error) from error
    _handle_termination(_stop)
    try:
        with together() as world:
            try:
                yield world
            except BaseException:
                _handle_termination(signal.SIG_IGN)  # what follows is told first
                raise
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _unreachable(error: Exception) -> Exception:
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if "EADDRINUSE" in str(error) or "address already in use" in str(error).lower():
        return ArgumentError(f"the port of {address} is taken: give torchrun another one, as with --master-port 29555.")
    reason = str(error).strip().splitlines()[0]
    return LostProcessError(f"the processes do not find each other at {address}: {reason}")


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _handle_termination(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
