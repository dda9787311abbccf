"""Recipes and the training loop that follows them."""

from striate.training.loop import Step, Training, diverged
from striate.training.losses import map_loss
from striate.training.plan import Plan
from striate.training.recipes import Recipe, chosen, modern, paper, recipe, settled

__all__ = [
    "Plan",
    "Recipe",
    "Step",
    "Training",
    "chosen",
    "diverged",
    "map_loss",
    "modern",
    "paper",
    "recipe",
    "settled",
]
