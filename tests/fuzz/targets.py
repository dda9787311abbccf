"""All fuzz targets."""

from fuzz import readers, requests, runs
from fuzz.harness import Target

TARGETS: tuple[Target, ...] = (*readers.TARGETS, *runs.TARGETS, *requests.TARGETS)
