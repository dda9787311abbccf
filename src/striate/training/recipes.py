"""Recipes by name: how each model is trained, if nothing else is asked for.

"modern" is what one would do today, "fast" has little time, "paper" is what the authors did, "fine-tune" and "transfer"
are for given weights.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from striate.acceleration import usual
from striate.data import Dataset
from striate.errors import ArgumentError, unknown
from striate.preprocess import Preprocess
from striate.training.settings import FEW_SAMPLES, Loss, Recipe

STEPS = 4500  # a network of this size is far from trained in fewer, however small the data
MOST_EPOCHS = 100
DEEP = (
    "alexnet",
    "efficientnet",
    "fashion_cnn",
    "googlenet",
    "mobilenet",
    "resnet",
    "resnext",
    "senet",
    "seresnet",
    "vgg",
)
CALIBRATION = 0.05  # of the training images; what it costs is in docs/calibration.md
FAST_EPOCHS = {"quicknet_s": 2, "quicknet_m": 3, "quicknet_l": 8}


def modern(model: str, samples: int = 60_000) -> Recipe:
    """Today's defaults: learning-rate warm-up and linear decay, Nesterov momentum or better, flips and shifts where the
    data allows.

    Measured, on two cores: lenet5 on digits 99.83 % (ten seeds, `striate train`); on Fashion-MNIST, three seeds each,
    fashion_cnn 93.31 % (`striate train fashion_cnn --data fashion-mnist`) and mlp 88.79 %; see
    docs/results.md.

    Args:
        model: the name of the model; any other gets sound general settings.
        samples: how many training images there are. Fewer than 10,000 are passed over more often, in smaller batches.

    >>> modern("lenet5").optimizer, modern("lenet5").epochs, modern("lenet5", samples=1_000).batch_size
    ('sgd', 20, 32)
    """
    return _suited(_modern(model).replace(calibration=CALIBRATION), samples)


def _suited(chosen: Recipe, samples: int) -> Recipe:
    if samples >= FEW_SAMPLES:
        return chosen
    steps = math.ceil(samples / 32)
    return chosen.replace(batch_size=32, epochs=max(chosen.epochs, min(MOST_EPOCHS, math.ceil(STEPS / steps))))


def _modern(model: str) -> Recipe:
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
    deep = Recipe(
        name="modern",
        epochs=8,
        optimizer="muon",
        learning_rate=0.015,
        weight_decay=0,
        label_smoothing=0.1,
        clip_norm=0,
    )
    if model.startswith(DEEP):
        # In networks this deep Muon learns in a third of SGD's steps. In so few epochs nothing is learnt by heart, and
        # dropout only slows; it acts in the warm-up's first half (Liu et al. 2023, early dropout).
        return deep.replace(early_dropout=0.1)
    if model.startswith("convnext"):  # as its authors train it, but for a small batch
        return deep.replace(
            optimizer="adamw", learning_rate=0.001, weight_decay=0.05, schedule="cosine", early_dropout=0.1
        )
    if model.startswith("quicknet"):
        return deep.replace(batch_size=128, learning_rate=0.03)
    if model in ("mlp", "lenet5_modern"):
        return Recipe(name="modern", epochs=10, learning_rate=0.05, label_smoothing=0.1)
    return Recipe(name="modern")


def fast(model: str, samples: int = 60_000) -> Recipe:
    """The best accuracy in little time, for the networks made for it; the effect of each choice is in
    docs/benchmarks/ablation.md.

    Raises:
        ArgumentError: for any other model.
    """
    if model not in FAST_EPOCHS:
        raise ArgumentError(
            f"there is no fast recipe for {model}: use --recipe modern, or train {', '.join(FAST_EPOCHS)}."
        )
    return _suited(
        _modern(model).replace(name="fast", epochs=FAST_EPOCHS[model], tta="auto", calibration=CALIBRATION), samples
    )


def fine_tune(model: str, samples: int = 60_000) -> Recipe:
    """For weights that have learnt something already: small steps, and smaller ones towards the first layer.

    Howard and Ruder (2018, section 3.2) divide the learning rate by 2.6 from each group of layers to the one before;
    here the first layer gets a tenth of the last one's.
    """
    return Recipe(
        name="fine-tune",
        epochs=10 if samples < FEW_SAMPLES else 3,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=1e-4,
        schedule="cosine",
        warmup=0.1,
        label_smoothing=0.1,
        first_layer_rate=0.1,
        calibration=CALIBRATION,
    )


def transfer(model: str, samples: int = 60_000) -> Recipe:
    """For photographs and published weights: the last layer fitted to features, then the whole network in small steps.

    Batch normalisation keeps its statistics, and the learning rate falls towards the first layer. A fifth of the
    training images tells whether the fine-tuned network is better than the fitted head; where the head makes too few
    mistakes for that, it is left as it is. Measured in docs/transfer.md.
    """
    return Recipe(
        name="transfer",
        epochs=6 if samples < FEW_SAMPLES else 2,
        batch_size=32,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        schedule="cosine",
        warmup=0.1,
        label_smoothing=0.1,
        first_layer_rate=0.2,
        head="fitted",
        held_out=0.2,
        freeze_norms=True,
    )


def paper(model: str, samples: int = 60_000) -> Recipe:
    """The authors' own training, as far as it is published.

    lenet5: 20 passes over the training data with the MAP loss. The stochastic diagonal Levenberg–Marquardt step, one
    pattern at a time, is replaced by SGD with momentum on batches of 64, a cosine from 0.003 after a warm-up over the
    first pass, and gradients clipped at 5; the penalty j, which the paper does not give, is 10. Measured: 0.88 % test
    error on MNIST (the paper: 0.95 %), three seeds, two cores, `striate train lenet5 --data mnist --recipe paper`.
    fashion_cnn: the chapter's program: Nadam at Keras' default rate, batches of 32, 10 epochs, images as they are.
    mlp: the 1998 paper's dense nets were trained like LeNet-5; here plain SGD at 0.01 for 20 passes.

    Raises:
        ArgumentError: for a model that no paper trained.

    >>> paper("lenet5").epochs, paper("lenet5").schedule, paper("lenet5").learning_rate
    (20, 'cosine', 0.003)
    """
    if model == "lenet5":
        return _modern(model).replace(name="paper", augment="none")
    plain = Recipe(
        name="paper", batch_size=32, weight_decay=0, schedule="constant", warmup=0, clip_norm=0, augment="none"
    )
    if model == "fashion_cnn":
        return plain.replace(epochs=10, optimizer="nadam", learning_rate=0.001)
    if model == "mlp":
        return plain.replace(epochs=20, optimizer="sgd", learning_rate=0.01, momentum=0)
    raise ArgumentError(f"there is no paper recipe for {model}: use --recipe modern.")


RECIPES: dict[str, Callable[[str, int], Recipe]] = {
    "fast": fast,
    "fine-tune": fine_tune,
    "modern": modern,
    "paper": paper,
    "transfer": transfer,
}


def recipe(name: str, model: str, samples: int = 60_000) -> Recipe:
    """The named recipe for a model and a number of training images.

    Raises:
        ArgumentError: for an unknown recipe, or one the model does not have.

    >>> recipe("fast", "quicknet_s").optimizer, recipe("paper", "lenet5").epochs
    ('muon', 20)
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name](model, samples)


def chosen(
    given: Recipe | str | Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    model: str,
    samples: int = 60_000,
    fine_tuning: bool = False,
) -> Recipe:
    """The recipe for a training, with what the model's own recipe says of all that was not asked for.

    Args:
        given: a recipe's name, or settings over the usual recipe, which is "modern", or "fine-tune" for given weights:
            a `Recipe` or a mapping.
        settings: more settings, which come last.
        model: the model's name.
        samples: how many training images there are.
        fine_tuning: whether the training begins with given weights.

    Raises:
        ArgumentError: for an unknown recipe or setting, or a value out of range.

    >>> chosen("modern", {"epochs": 3}, model="lenet5").epochs, chosen(None, {}, model="lenet5").name
    (3, 'modern')
    """
    if isinstance(given, Mapping):
        settings, given = {**given, **settings}, None
    if not isinstance(given, Recipe | str | None):
        raise ArgumentError(
            f"recipe={given!r}: expected the name of a recipe, a striate.Recipe or a mapping of its settings."
        )
    if settings.get("epochs") and settings.get("budget"):
        raise ArgumentError("epochs and budget both say how long to train: give one of them.")
    name = given if isinstance(given, str) else "fine-tune" if fine_tuning else "modern"
    usual = recipe(name, model, samples)
    return (given.over(usual) if isinstance(given, Recipe) else usual).replace(**settings)


def asks_for_length(given: Recipe | str | Mapping[str, Any] | None, settings: Mapping[str, Any]) -> bool:
    """True if a recipe or settings, as for `chosen`, say how long to train.

    >>> asks_for_length(None, {"epochs": 3}), asks_for_length("modern", {"learning_rate": 0.1})
    (True, False)
    """
    fields = given.model_fields_set if isinstance(given, Recipe) else given if isinstance(given, Mapping) else ()
    return any({**dict.fromkeys(fields, True), **settings}.get(name) for name in ("epochs", "steps", "budget"))


def settled(
    recipe: Recipe, module: nn.Module, data: Dataset, preprocess: Preprocess, device: torch.device, loss: Loss
) -> Recipe:
    """The recipe with nothing left open: each "auto" becomes what this model, data and device ask for.

    Args:
        recipe: as it was `chosen`.
        module: the model, ready for its first step.
        data: what it is trained on.
        preprocess: how images become input.
        device: where it is trained, which decides between float32 and bfloat16.
        loss: the loss that the model was published with.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> device, loss = torch.device("cpu"), "cross-entropy"
    >>> settled(striate.Recipe(), network, data, run.preprocess, device, loss).loss
    'cross-entropy'
    """
    if recipe.precision == "auto" and not recipe.only_fits_head:
        one = preprocess.normalize(data.train.images[:1])
        recipe = recipe.replace(precision=usual(module, one, recipe.batch_size, device))
    return recipe.resolved(loss, data)
