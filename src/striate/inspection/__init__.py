"""Inspection: what a network is made of, and what its answers depend on."""

from striate.inspection.architecture import describe
from striate.inspection.equivariance import LayerShift
from striate.inspection.invariance import Curve, Invariance, Point, invariance
from striate.inspection.table import ArchitectureTable, LayerRow

__all__ = [
    "ArchitectureTable",
    "Curve",
    "Invariance",
    "LayerRow",
    "LayerShift",
    "Point",
    "describe",
    "invariance",
]
