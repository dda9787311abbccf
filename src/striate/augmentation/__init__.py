"""Augmentation of training images: random parameters drawn per sample from its own seed, applied to whole batches."""

from striate.augmentation.policy import Policy, parse
from striate.augmentation.test_time import VIEWS, views
from striate.augmentation.transforms import TRANSFORMS, Mixing, Transform

__all__ = ["TRANSFORMS", "VIEWS", "Mixing", "Policy", "Transform", "parse", "views"]
