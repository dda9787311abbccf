"""Model architectures, one a file, each documented by its table of layers."""

from striate.models import (  # noqa: F401  (importing a model registers it)
    alexnet,
    alexnet_torchvision,
    convnext,
    efficientnet,
    efficientnet_lite,
    fashion_cnn,
    googlenet,
    googlenet_torchvision,
    lenet5,
    mlp,
    mobilenet_v2,
    mobilenet_v3,
    quicknet,
    resnet,
    resnext,
    senet,
    vgg,
)
from striate.models.antialias import antialias
from striate.models.creation import create
from striate.models.finetuning import depths, evaluating, freeze_backbone, frozen_norms, head, is_weight
from striate.models.initialization import fit, fit_indices
from striate.models.registry import Architecture, Facts, Option, Outputs, facts, names, parse
from striate.models.weights.adapt import Normalization, trained_size

__all__ = [
    "Architecture",
    "Facts",
    "Normalization",
    "Option",
    "Outputs",
    "antialias",
    "create",
    "depths",
    "evaluating",
    "facts",
    "fit",
    "fit_indices",
    "freeze_backbone",
    "frozen_norms",
    "head",
    "is_weight",
    "names",
    "parse",
    "trained_size",
]
