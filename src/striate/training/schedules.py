"""The learning rate at each step, as a share of the recipe's peak."""

import math

from striate.training.recipe import Recipe


def factor(recipe: Recipe, done: float) -> float:
    """The share of the peak learning rate used at a step.

    Args:
        recipe: names the schedule and its warm-up.
        done: the share of the run that lies behind the step, in (0, 1), from its `Plan`.

    Returns:
        A value in (0, 1]: a straight rise over the warm-up, then a straight line ("one-cycle") or half a cosine
        ("cosine") towards 0, or 1 ("constant").
    """
    if done < recipe.warmup:
        return done / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    left = (1 - done) / (1 - recipe.warmup)
    return left if recipe.schedule == "one-cycle" else 0.5 * (1 - math.cos(math.pi * left))
