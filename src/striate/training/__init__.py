"""Recipes and the training loop that follows them."""

from striate.training.linear_head import LinearHead, cross_validated, fitted_head
from striate.training.loop import Step, Training, diverged
from striate.training.losses import map_loss
from striate.training.plan import Plan
from striate.training.recipes import Recipe, chosen, modern, paper, recipe, settled

__all__ = [
    "LinearHead",
    "Plan",
    "Recipe",
    "Step",
    "Training",
    "chosen",
    "cross_validated",
    "diverged",
    "fitted_head",
    "map_loss",
    "modern",
    "paper",
    "recipe",
    "settled",
]
