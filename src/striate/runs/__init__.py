"""Runs: trainings on disk, how they are made, continued and read."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Begun": "events",
    "Ended": "events",
    "EpochEnded": "events",
    "Run": "run",
    "Trained": "trained",
    "opened": "trained",
    "resume": "driver",
    "train": "driver",
    "wanted_input": "driver",
}

__all__ = ["Begun", "Ended", "EpochEnded", "Run", "Trained", "opened", "resume", "train", "wanted_input"]

if TYPE_CHECKING:
    from striate.runs.driver import resume, train, wanted_input
    from striate.runs.events import Begun, Ended, EpochEnded
    from striate.runs.run import Run
    from striate.runs.trained import Trained, opened


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that answers are given without what trains."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
