"""All fuzz targets."""

from fuzz import readers
from fuzz.harness import Target

TARGETS: tuple[Target, ...] = readers.TARGETS
