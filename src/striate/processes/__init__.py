"""Several processes, on one machine or on many, that work on one thing together."""

from striate.processes.division import shares
from striate.processes.joining import VARIABLES, joined, restarts, started
from striate.processes.world import ALONE, World, together, world

__all__ = [
    "ALONE",
    "VARIABLES",
    "World",
    "joined",
    "restarts",
    "shares",
    "started",
    "together",
    "world",
]
