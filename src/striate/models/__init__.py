"""Model architectures, one a file, each documented by its table of layers."""

from striate.models import (  # noqa: F401  (importing a model registers it)
    alexnet,
    convnext,
    efficientnet,
    efficientnet_lite,
    fashion_cnn,
    googlenet,
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
from striate.models.creation import create, trained_input
from striate.models.finetuning import depths, evaluating, freeze_backbone, freeze_norms, frozen_norms, head, is_weight
from striate.models.initialization import fit, fit_indices
from striate.models.registry import Architecture, Facts, Option, Outputs, facts, names, parse
from striate.models.weights.imagenet import class_names, position
from striate.models.weights.pretrained import (
    BACKBONE,
    Normalization,
    Pretrained,
    feature_input,
    located,
    on_this_machine,
    rows,
)
from striate.models.weights.pretrained import NAME as PRETRAINED

__all__ = [
    "BACKBONE",
    "PRETRAINED",
    "Architecture",
    "Facts",
    "Normalization",
    "Option",
    "Outputs",
    "Pretrained",
    "antialias",
    "class_names",
    "create",
    "depths",
    "evaluating",
    "facts",
    "feature_input",
    "fit",
    "fit_indices",
    "freeze_backbone",
    "freeze_norms",
    "frozen_norms",
    "head",
    "is_weight",
    "located",
    "names",
    "on_this_machine",
    "parse",
    "position",
    "rows",
    "trained_input",
]
