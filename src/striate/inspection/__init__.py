"""Inspection of networks (architecture, fields, features, attributions, invariance, advice) and of data (audits)."""

from striate.inspection.advice.check import advise
from striate.inspection.advice.rule import Advice, Finding, Saving
from striate.inspection.attribution import grad_cam, integrated_gradients, randomised, rank_correlation
from striate.inspection.audits.audit import audit
from striate.inspection.audits.result import Audit
from striate.inspection.extent.field import Field
from striate.inspection.features import Excitation, features, top_images
from striate.inspection.invariances.layers import LayerShift
from striate.inspection.invariances.measure import invariance
from striate.inspection.invariances.result import Curve, Invariance, Point
from striate.inspection.receptive_fields import EffectiveField, effective_field, receptive_fields
from striate.inspection.structure.describe import describe
from striate.inspection.structure.picture import architecture_svg
from striate.inspection.structure.table import ArchitectureTable, LayerRow

__all__ = [
    "Advice",
    "ArchitectureTable",
    "Audit",
    "Curve",
    "EffectiveField",
    "Excitation",
    "Field",
    "Finding",
    "Invariance",
    "LayerRow",
    "LayerShift",
    "Point",
    "Saving",
    "advise",
    "architecture_svg",
    "audit",
    "describe",
    "effective_field",
    "features",
    "grad_cam",
    "integrated_gradients",
    "invariance",
    "randomised",
    "rank_correlation",
    "receptive_fields",
    "top_images",
]
