"""Recipes and the training loop that follows them."""

from striate.training.linear_head import LinearHead, cross_validated, fitted_head
from striate.training.loop import Step, Training, diverged
from striate.training.losses import balanced_weights, map_loss
from striate.training.plan import Plan
from striate.training.recipes import asks_for_length, chosen, modern, paper, recipe, settled
from striate.training.settings import Recipe

__all__ = [
    "LinearHead",
    "Plan",
    "Recipe",
    "Step",
    "Training",
    "asks_for_length",
    "balanced_weights",
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
