"""Inspection: what a network is made of, and what its layers see."""

from striate.inspection.architecture import describe
from striate.inspection.field import Field
from striate.inspection.receptive import receptive_fields
from striate.inspection.table import ArchitectureTable, LayerRow

__all__ = ["ArchitectureTable", "Field", "LayerRow", "describe", "receptive_fields"]
