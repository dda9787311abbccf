"""Structured log: one JSON object a line, on standard output."""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

LONGEST = 500  # characters of a value

Log = Callable[..., None]  # log("request", status=200, …)


def write(event: str, **values: Any) -> None:
    """Write one line: the time, the event and the values. If nobody can read it, work goes on without a word."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": moment, "event": event, **{name: _short(value) for name, value in values.items()}})
    if sys.stdout is not None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:  # a reader that is gone, a full disk
            sys.stdout = None


def _short(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value


class Forwarding(logging.Handler):
    """Handler that writes what libraries log as lines of the structured log.

    Args:
        log: writes a line.
    """

    def __init__(self, log: Log):
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        values = {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            values["exception"] = repr(record.exc_info[1])
        self._log("library", **values)
