"""Recipes and the loop that follows them. Nothing here writes to disk or prints."""

from striate.training.inference import Predictor, logits_of
from striate.training.loop import Step, Training, diverged
from striate.training.losses import map_loss
from striate.training.plan import Plan
from striate.training.precision import fastest, supported
from striate.training.recipe import Recipe
from striate.training.recipes import modern, paper, recipe
from striate.training.scoring import Score, ranks, score, score_of

__all__ = [
    "Plan",
    "Predictor",
    "Recipe",
    "Score",
    "Step",
    "Training",
    "diverged",
    "fastest",
    "logits_of",
    "map_loss",
    "modern",
    "paper",
    "ranks",
    "recipe",
    "score",
    "score_of",
    "supported",
]
