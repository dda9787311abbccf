"""Architectures, one a file, each opening with its table."""

from striate.models import fashion_cnn, lenet5, mlp  # noqa: F401  (importing a model enters it)
from striate.models.registry import Architecture, Facts, create, facts, names

__all__ = ["Architecture", "Facts", "create", "facts", "names"]
