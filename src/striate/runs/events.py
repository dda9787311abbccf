"""Events of training, for observers, who get every `Step`, too; sums over epochs; and TensorBoard's event files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data import Dataset
from striate.errors import ArgumentError
from striate.runs.run import Run
from striate.training import Step

Observer = Callable[[Any], None]


@dataclass(frozen=True)
class Begun:
    """Event before the first step: the run, its number of steps, and how many are done already.

    >>> events = []
    >>> _ = striate.train("mlp", data, epochs=1, out="runs/begun", observer=events.append)
    >>> (begun,) = [event for event in events if isinstance(event, Begun)]
    >>> begun.done, begun.steps == begun.steps_per_epoch
    (0, True)
    """

    run: Run
    data: Dataset
    steps: int
    steps_per_epoch: int
    done: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EpochEnded:
    """Event at the end of each epoch: the line written to metrics.jsonl.

    >>> events = []
    >>> _ = striate.train("mlp", data, epochs=2, out="runs/epochs", observer=events.append)
    >>> [event.metrics["epoch"] for event in events if isinstance(event, EpochEnded)]
    [1, 2]
    """

    metrics: dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """Event at the end: the content of result.json.

    >>> events = []
    >>> _ = striate.train("mlp", data, epochs=1, out="runs/ended", observer=events.append)
    >>> type(events[-1]).__name__, events[-1].result["accuracy"] > 0.7
    ('Ended', True)
    """

    run: Run
    result: dict[str, Any]


class TensorBoardLog:
    """TensorBoard's event files in a folder: the same numbers as metrics.jsonl.

    Raises:
        ArgumentError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ArgumentError(
                "--tensorboard needs the extra of that name: pip install 'striate[tensorboard]'."
            ) from None
        self.writer = SummaryWriter(str(folder))

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        """Log an epoch's numbers at its last step."""
        for name, value in metrics.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        """End the event file."""
        self.writer.close()


@dataclass
class Totals:
    """Sums over an epoch under way, kept in checkpoints so that a resumed epoch reports all of itself."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    seconds: float = 0.0
    waiting: float = 0.0
    run_samples: int = 0
    run_seconds: float = 0.0
    elapsed: float = 0.0
    bytes_logged: int = 0

    def add(self, step: Step) -> None:
        self.loss += step.loss * step.samples
        self.correct += step.correct
        self.samples += step.samples
        self.seconds += step.seconds
        self.waiting += step.waiting
        self.run_samples += step.samples
        self.run_seconds += step.seconds

    def begin_epoch(self) -> None:
        self.loss = self.seconds = self.waiting = 0.0
        self.correct = self.samples = 0
