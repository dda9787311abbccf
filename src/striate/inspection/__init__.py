"""Inspection: what a network is made of."""

from striate.inspection.architecture import describe
from striate.inspection.table import ArchitectureTable, LayerRow

__all__ = ["ArchitectureTable", "LayerRow", "describe"]
