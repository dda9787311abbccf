"""Connections between processes, and the reason that one which fails leaves for the first one to tell."""

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from striate import errors
from striate.errors import LostProcessError, StriateError

HEARD = 10.0  # seconds that a process that fails waits for the first one to tell its reason
RECENT = 1.0  # seconds in which a reason is there, once a connection is gone
_POLL = 0.02  # seconds


@dataclass
class Links:
    """Connections to the other processes.

    Args:
        group: for tensors on the CPU.
        patient: for plain values, where one may wait for long: another process may be decoding its data.
        store: where a process that fails leaves its reason.
    """

    group: Any = None
    patient: Any = None
    store: Any = None

    def close(self) -> None:
        """Close the connections, which wakes the processes that wait for this one; the store stays."""
        import torch.distributed as dist

        for each in (self.group, self.patient):
            dist.destroy_process_group(each)
        self.group = self.patient = None  # the last references

    def leave(self, error: BaseException, rank: int) -> None:
        """Leave the error of a process for the first one to tell, unless it follows from another's end."""
        if isinstance(error, LostProcessError | KeyboardInterrupt | SystemExit):
            return
        said = str(error) if isinstance(error, StriateError) else f"unexpected {type(error).__name__}: {error}"
        where = f"process {rank} on {socket.gethostname()}"
        with suppress(RuntimeError):  # the first process is gone
            self.store.set("failure", json.dumps({"kind": type(error).__name__, "text": f"{where}: {said}"}))

    def wait_until_heard(self, is_first: bool) -> None:
        """Wait until the first process knows why this one ends, or is gone; the first one says that it knows."""
        with suppress(RuntimeError):
            if is_first:
                self.store.set("heard", "")
                return
            until = time.monotonic() + HEARD
            while not self.store.check(["heard"]) and time.monotonic() < until:
                time.sleep(_POLL)

    def failure(self) -> StriateError | None:
        """The error that another process left, if any."""
        try:
            if not self.store.check(["failure"]):
                return None
            left = json.loads(self.store.get("failure"))
        except RuntimeError:
            return None
        kind = getattr(errors, left["kind"], errors.RunError)
        return (errors.DataError if kind is errors.BadFilesError else kind)(left["text"])

    def recent_failure(self) -> StriateError | None:
        """As `failure`, some moments later: a process leaves its reason before it ends, but not long before."""
        until = time.monotonic() + RECENT
        while (found := self.failure()) is None and time.monotonic() < until:
            time.sleep(_POLL)
        return found
