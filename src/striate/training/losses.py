"""Loss functions."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.training.settings import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


def map_loss(logits: Tensor, targets: Tensor, penalty: float, reduction: str = "mean") -> Tensor:
    """LeNet-5's discriminative criterion, maximum a posteriori (LeCun et al. 1998, equation 9), batch mean.

    With y_i = −logit_i the distance to class i's prototype and D the right class, it is
    y_D + log(e^(−j) + Σ_i e^(−y_i)): cross-entropy with one more class, "rubbish", whose distance is always j.

    Args:
        logits: float (N, classes), minus the squared distances.
        targets: int64 (N,), or of mixed images float (N, classes), the share of each class.
        penalty: j, above 0; distances far beyond it are not pushed further.
        reduction: "mean", or "none" for the loss of each image.

    >>> far = torch.tensor([[-1.0, -9.0]])  # minus the distances to two prototypes
    >>> map_loss(far, torch.tensor([0]), penalty=10.0)
    tensor(0.0005)
    """
    rubbish = logits.new_full((len(logits), 1), -penalty)
    if targets.ndim == 2:
        targets = F.pad(targets, (0, 1))
    return F.cross_entropy(torch.cat([logits, rubbish], dim=1), targets, reduction=reduction)


def loss_of(recipe: Recipe, class_weights: Tensor | None = None) -> Loss:
    """The loss function that a resolved recipe names, from logits (N, classes) and targets to a mean.

    Targets are int64 (N,), or of mixed images float (N, classes), the share of each class.

    Args:
        recipe: resolved.
        class_weights: float32 (classes,): each image's loss is multiplied by its class's weight before the mean.
    """
    if recipe.loss == "map":
        loss = partial(map_loss, penalty=recipe.map_penalty)
    else:
        loss = partial(F.cross_entropy, label_smoothing=recipe.label_smoothing)
    if class_weights is None:
        return loss
    weights = class_weights

    def weighted(logits: Tensor, targets: Tensor) -> Tensor:
        of_images = weights[targets] if targets.ndim == 1 else targets @ weights
        return (loss(logits, targets, reduction="none") * of_images).mean()

    return weighted


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights of classes so that each counts the same: N / (classes × images of the class), 1 on average over images.

    Args:
        labels: int64 (N,).
        classes: how many there are; one without an image has weight 0.

    Returns:
        float32 (classes,).

    >>> balanced_weights(torch.tensor([0, 0, 0, 1]), classes=2)
    tensor([0.6667, 2.0000])
    """
    counts = labels.bincount(minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0).float()
