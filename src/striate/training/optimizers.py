"""The optimiser a recipe names."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from striate.models import depths
from striate.training.muon import Muon
from striate.training.recipe import Recipe


def optimizer_of(recipe: Recipe, model: nn.Module) -> Optimizer:
    """An optimiser over the model's trainable parameters; weight decay acts on those with two or more dimensions.

    With Muon the updates of all weights but the last layer's are orthogonal; the last layer and the biases follow plain
    Nesterov momentum. With a `first_layer_rate` below 1, the groups' `share` of the learning rate grows from the first
    layer to the last, evenly on a logarithmic scale: discriminative fine-tuning (Howard and Ruder 2018, section 3.2).
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trainable if parameter.ndim > 1]
    rest = {"params": [parameter for parameter in trainable if parameter.ndim <= 1], "weight_decay": 0.0}
    if recipe.optimizer == "muon":
        hidden = {"params": weights[:-1], "weight_decay": recipe.weight_decay, "orthogonal": True}
        last = {"params": weights[-1:], "weight_decay": recipe.weight_decay}
        return Muon(_graded(recipe, model, hidden, last, rest), lr=recipe.learning_rate, momentum=recipe.momentum)
    groups = _graded(recipe, model, {"params": weights, "weight_decay": recipe.weight_decay}, rest)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    if recipe.optimizer == "nadam":
        return torch.optim.NAdam(groups, lr=recipe.learning_rate)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov)


def _graded(recipe: Recipe, model: nn.Module, *groups: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups that have parameters, each split by the share of the learning rate that its layers get."""
    if recipe.first_layer_rate == 1:
        return [group for group in groups if group["params"]]
    depth = depths(model)
    share = {id(p): recipe.first_layer_rate ** (1 - depth[name]) for name, p in model.named_parameters()}
    graded = []
    for group in groups:
        for each in sorted({share[id(p)] for p in group["params"]}):
            graded.append({**group, "params": [p for p in group["params"] if share[id(p)] == each], "share": each})
    return graded
