"""Random variation of training images: drawn for each sample by its own seed, applied to whole batches."""

from striate.augmentation.policy import Policy, parse
from striate.augmentation.transforms import TRANSFORMS, Transform

__all__ = ["TRANSFORMS", "Policy", "Transform", "parse"]
