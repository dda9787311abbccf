"""Runs: trainings on disk, how they are made, continued and read."""

from striate.runs.driver import resume, train, wanted_input
from striate.runs.events import Begun, Ended, EpochEnded
from striate.runs.run import Run
from striate.runs.trained import Trained, opened

__all__ = ["Begun", "Ended", "EpochEnded", "Run", "Trained", "opened", "resume", "train", "wanted_input"]
