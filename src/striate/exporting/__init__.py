"""Export of trained networks to files that other programs run, and the proof that these answer alike."""

from striate.exporting.exporter import export
from striate.exporting.result import Export

__all__ = ["Export", "export"]
