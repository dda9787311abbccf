"""Recipes by name. "modern" is what one would do today, "paper" what the authors did."""

from collections.abc import Callable

from striate.errors import ArgumentError, unknown
from striate.training.recipe import Recipe


def modern(model: str) -> Recipe:
    """Today's defaults: one-cycle Nesterov SGD, weight decay, flips and shifts where the data allows."""
    if model == "lenet5":  # its tanh units and squared distances want small steps
        return Recipe(
            name="modern",
            epochs=20,
            learning_rate=0.003,
            schedule="cosine",
            warmup=0.05,
            nesterov=False,
            weight_decay=0,
        )
    if model == "fashion_cnn":
        return Recipe(name="modern", epochs=4, learning_rate=0.03, label_smoothing=0.1, augment="auto")
    return Recipe(name="modern", epochs=10, learning_rate=0.05, label_smoothing=0.1)


def paper(model: str) -> Recipe:
    """What the authors did, as far as it is published.

    lenet5: 20 passes over the training data with the MAP loss. The stochastic diagonal Levenberg–Marquardt step, one
    pattern at a time, is replaced by SGD with momentum on batches of 64, a cosine from 0.003 after a warm-up over the
    first pass, and gradients clipped at 5; the penalty j, which the paper does not give, is 10.
    fashion_cnn: the chapter's program: Nadam at Keras' default rate, batches of 32, 10 epochs, images as they are.
    mlp: the 1998 paper's dense nets were trained like LeNet-5; here plain SGD at 0.01 for 20 passes.

    Raises:
        ArgumentError: for a model that no paper trained.
    """
    if model == "lenet5":
        return modern(model).replace(name="paper", augment="none")
    if model == "fashion_cnn":
        return Recipe(
            name="paper",
            epochs=10,
            batch_size=32,
            optimizer="nadam",
            learning_rate=0.001,
            weight_decay=0,
            schedule="constant",
            warmup=0,
            clip_norm=0,
            augment="none",
        )
    if model == "mlp":
        return Recipe(
            name="paper",
            epochs=20,
            batch_size=32,
            learning_rate=0.01,
            momentum=0,
            weight_decay=0,
            schedule="constant",
            warmup=0,
            clip_norm=0,
            augment="none",
        )
    raise ArgumentError(f"there is no paper recipe for {model}: use --recipe modern.")


RECIPES: dict[str, Callable[[str], Recipe]] = {"modern": modern, "paper": paper}


def recipe(name: str, model: str) -> Recipe:
    """The named recipe for a model.

    Raises:
        ArgumentError: for an unknown recipe, or one the model does not have.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name](model)
