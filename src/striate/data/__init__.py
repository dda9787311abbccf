"""Data sets: `load` turns a name or a folder into a `Dataset` of uint8 images with labels."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {"Dataset": "dataset", "LazyImages": "lazy", "Loader": "loader", "Split": "dataset", "load": "loading"}

__all__ = ["Dataset", "LazyImages", "Loader", "Split", "load"]

if TYPE_CHECKING:
    from striate.data.dataset import Dataset, Split
    from striate.data.lazy import LazyImages
    from striate.data.loader import Loader
    from striate.data.loading import load


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that processes that decode images need no PyTorch."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
