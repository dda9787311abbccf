"""Runs: training that leaves a folder, and reading it back."""

from striate.runs.driver import fingerprint, resume, train, wanted_size
from striate.runs.events import Begun, Ended, EpochEnded
from striate.runs.run import Run

__all__ = ["Begun", "Ended", "EpochEnded", "Run", "fingerprint", "resume", "train", "wanted_size"]
