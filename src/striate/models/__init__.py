"""Architectures, one a file, each opening with its table."""

from striate.models import fashion_cnn, lenet5, mlp  # noqa: F401  (importing a model enters it)
from striate.models.antialias import antialias
from striate.models.registry import Architecture, Facts, Option, Outputs, create, facts, names, parse

__all__ = ["Architecture", "Facts", "Option", "Outputs", "antialias", "create", "facts", "names", "parse"]
