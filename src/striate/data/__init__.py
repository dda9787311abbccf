"""Data: `load` turns a name or a folder into a `Dataset` of uint8 images with labels."""

from striate.data.dataset import Dataset, Split
from striate.data.sources import load

__all__ = ["Dataset", "Split", "load"]
