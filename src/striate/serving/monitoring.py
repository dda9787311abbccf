"""Monitoring of the service: a log of one JSON object a line, on standard output, and metrics for Prometheus."""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """Counters and histograms of one service.

    Args:
        waiting: says how many images are waiting.
        ready: says whether requests are answered.
        model: the name of the network.
    """

    def __init__(self, waiting: Callable[[], int], ready: Callable[[], bool], model: str):
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "striate_requests", "Requests that were answered.", ("path", "status"), registry=registry
        )
        self._seconds = Histogram(
            "striate_request_seconds", "Time from a request to its answer.", ("path",), buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._images = Counter("striate_images", "Images that were computed.", registry=registry)
        self._batches = Histogram(
            "striate_batch_images", "Images in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self._computing = Counter("striate_engine_seconds", "Time that the engine computed.", registry=registry)
        Gauge("striate_waiting_images", "Images that wait.", registry=registry).set_function(waiting)
        Gauge("striate_ready", "Whether requests are answered.", registry=registry).set_function(lambda: float(ready()))
        Gauge("striate_model_info", "The network.", ("model",), registry=registry).labels(model).set(1)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered; `path` is one of few, whatever was asked for."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, images: int, seconds: float) -> None:
        """Count a batch that was computed."""
        self._images.inc(images)
        self._batches.observe(images)
        self._computing.inc(seconds)

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        return generate_latest(self._registry)
