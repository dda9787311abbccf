"""Optimisers: the right one, over the right parameters, with decay on weights only."""

import pytest
import torch
from torch import nn

from striate import models
from striate.training import Recipe
from striate.training.optimizers import optimizer_of


def small():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("kind", ["sgd", "adamw", "nadam", "muon"])
def test_decay_acts_on_weights_and_not_on_biases_or_scales(kind):
    model = small()
    optimizer = optimizer_of(Recipe(optimizer=kind, weight_decay=0.1), model)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in model.parameters()] == [0.1, 0, 0, 0, 0.1, 0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


@pytest.mark.parametrize(
    ("settings", "kind", "defaults"),
    [
        ({"optimizer": "adamw"}, torch.optim.AdamW, {}),
        ({"optimizer": "nadam"}, torch.optim.NAdam, {}),
        ({"momentum": 0.8}, torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
        ({"momentum": 0.8, "nesterov": False}, torch.optim.SGD, {"momentum": 0.8, "nesterov": False}),
        ({"momentum": 0}, torch.optim.SGD, {"momentum": 0, "nesterov": False}),
    ],
)
def test_a_recipe_names_its_optimizer(settings, kind, defaults):
    optimizer = optimizer_of(Recipe(learning_rate=0.03, **settings), small())
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert group["lr"] == 0.03
        assert defaults.items() <= group.items()


def test_what_is_frozen_is_left_out_and_no_group_is_empty():
    model = small()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    held = {id(p) for group in optimizer_of(Recipe(), model).param_groups for p in group["params"]}
    assert held == {id(p) for layer in model[1:] for p in layer.parameters()}
    assert len(optimizer_of(Recipe(), nn.Linear(2, 2, bias=False)).param_groups) == 1


def test_lenet5s_prototypes_are_not_trained_and_its_coefficients_do_not_decay():
    model = models.create("lenet5")
    groups = optimizer_of(Recipe(weight_decay=0.1), model).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(p.numel() for group in groups for p in group["params"]) == 60_000
    assert decay[id(model.s2.weight)] == 0
    assert decay[id(model.c3.weight)] == 0.1
