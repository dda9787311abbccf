"""Inspection: what a network is made of, what its layers see, what they make of images, and how invariant it is."""

from striate.inspection.advice.advising import advise
from striate.inspection.advice.finding import Advice, Finding, Saving
from striate.inspection.architecture import describe
from striate.inspection.attribution import grad_cam, integrated_gradients
from striate.inspection.effective import EffectiveField, effective_field
from striate.inspection.equivariance import LayerShift
from striate.inspection.features import Excitation, features, top_images
from striate.inspection.field import Field
from striate.inspection.invariances import Curve, Invariance, Point, invariance
from striate.inspection.receptive import receptive_fields
from striate.inspection.sanity import randomised, rank_correlation
from striate.inspection.table import ArchitectureTable, LayerRow

__all__ = [
    "Advice",
    "ArchitectureTable",
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
