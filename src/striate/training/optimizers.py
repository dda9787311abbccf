"""The optimiser a recipe names."""

import torch
from torch import nn
from torch.optim import Optimizer

from striate.training.recipe import Recipe


def optimizer_of(recipe: Recipe, model: nn.Module) -> Optimizer:
    """An optimiser over the model's trainable parameters; weight decay acts on those with two or more dimensions."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    if recipe.optimizer == "nadam":
        return torch.optim.NAdam(groups, lr=recipe.learning_rate)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov)
