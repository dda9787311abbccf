"""Events of training: an observer is called with each of these, and with every `Step`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from striate.data import Dataset
from striate.runs.run import Run

Observer = Callable[[Any], None]


@dataclass(frozen=True)
class Begun:
    """Event before the first step: the run, its number of steps, and how many are done already."""

    run: Run
    data: Dataset
    steps: int
    steps_per_epoch: int
    done: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EpochEnded:
    """Event at the end of each epoch: the line written to metrics.jsonl."""

    metrics: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """Event at the end: the content of result.json."""

    run: Run
    result: dict[str, Any]
