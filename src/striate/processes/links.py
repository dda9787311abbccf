"""Connections between processes, and the reason that one which fails leaves for the first one to tell."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from striate import errors
from striate.errors import LostProcessError, StriateError

HEARD = 10.0  # seconds that a process that fails waits for the first one to tell its reason
RECENT = 1.0  # seconds in which a reason is there, once a connection is gone
ANSWER = 5.0  # seconds in which the store answers
_POLL = 0.02  # seconds


Answer = TypeVar("Answer")


@dataclass
class Links:
    """Connections to the other processes.

    Args:
        group: for tensors on the CPU.
        patient: for plain values, where one may wait for long: another process may be decoding its data.
        store: where a process that fails leaves its reason.
        unreachable: whether it has not answered.
    """

    group: Any = None
    patient: Any = None
    store: Any = None
    unreachable: bool = False

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
        content = json.dumps({"kind": type(error).__name__, "text": f"{where}: {said}"})
        self._asked(lambda: self.store.set("failure", content), None)

    def wait_until_heard(self, is_first: bool) -> None:
        """Wait until the first process knows why this one ends, or is gone; the first one says that it knows."""
        if is_first:
            self._asked(lambda: self.store.set("heard", ""), None)
            return
        until = time.monotonic() + HEARD
        while not self._asked(lambda: self.store.check(["heard"]), True) and time.monotonic() < until:
            time.sleep(_POLL)

    def failure(self) -> StriateError | None:
        """The error that another process left, if any."""
        if not self._asked(lambda: self.store.check(["failure"]), False):
            return None
        content = self._asked(lambda: self.store.get("failure"), b"")
        if not content:
            return None
        left = json.loads(content)
        kind = getattr(errors, left["kind"], errors.RunError)
        return (errors.DataError if kind is errors.BadFilesError else kind)(left["text"])

    def recent_failure(self) -> StriateError | None:
        """As `failure`, some moments later: a process leaves its reason before it ends, but not long before."""
        until = time.monotonic() + RECENT
        while (found := self.failure()) is None and time.monotonic() < until:
            time.sleep(_POLL)
        return found

    def _asked(self, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
        """The store's answer, or `otherwise` if the first process is gone, or its machine can't be reached.

        Then PyTorch's client would wait until the system gives the connection up, after a quarter of an hour.
        """
        if self.unreachable:
            return otherwise
        answers = [otherwise]

        def wait() -> None:
            with suppress(RuntimeError):
                answers[0] = ask()

        asking = threading.Thread(target=wait, daemon=True, name="striate-asking")
        asking.start()
        asking.join(ANSWER)
        self.unreachable = asking.is_alive()
        return answers[0]
