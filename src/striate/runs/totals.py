"""Sums over an epoch of a run, and over all of it."""

from dataclasses import dataclass

from striate.training import Step


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
