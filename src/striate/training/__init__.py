"""Recipes and the training loop that follows them."""

from striate.training.loop import Step, Training, diverged
from striate.training.losses import map_loss
from striate.training.plan import Plan
from striate.training.recipes import Recipe, modern, paper, recipe

__all__ = [
    "Plan",
    "Recipe",
    "Step",
    "Training",
    "diverged",
    "map_loss",
    "modern",
    "paper",
    "recipe",
]
