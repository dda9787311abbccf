"""Architectures, one a file, each opening with its table."""

from striate.models import (  # noqa: F401  (importing a model enters it)
    alexnet,
    alexnet_torchvision,
    fashion_cnn,
    googlenet,
    googlenet_torchvision,
    lenet5,
    mlp,
    vgg,
)
from striate.models.registry import Architecture, Facts, Option, Outputs, create, facts, names, parse

__all__ = ["Architecture", "Facts", "Option", "Outputs", "create", "facts", "names", "parse"]
