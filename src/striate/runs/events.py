"""What training tells as it goes: an observer is called with each of these, and with every `Step`, as it happens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from striate.data import Dataset
from striate.runs.run import Run

Observer = Callable[[Any], None]


@dataclass(frozen=True)
class Begun:
    """Told once, before the first step: the run, how many steps it has, and how many are done already."""

    run: Run
    data: Dataset
    steps: int
    steps_per_epoch: int
    done: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EpochEnded:
    """Told at the end of each epoch: the line that went into metrics.jsonl."""

    metrics: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """Told at the end: what result.json holds."""

    run: Run
    result: dict[str, Any]
