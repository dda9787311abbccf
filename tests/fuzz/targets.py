"""All fuzz targets."""

from fuzz import readers, runs
from fuzz.harness import Target

TARGETS: tuple[Target, ...] = (*readers.TARGETS, *runs.TARGETS)
