"""Loss functions."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.training.recipes import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


def map_loss(logits: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """LeNet-5's discriminative criterion, maximum a posteriori (LeCun et al. 1998, equation 9), batch mean.

    With y_i = −logit_i the distance to class i's prototype and D the right class, it is
    y_D + log(e^(−j) + Σ_i e^(−y_i)): cross-entropy with one more class, "rubbish", whose distance is always j.

    Args:
        logits: float (N, classes), minus the squared distances.
        targets: int64 (N,), or of mixed images float (N, classes), the share of each class.
        penalty: j, above 0; distances far beyond it are not pushed further.
    """
    rubbish = logits.new_full((len(logits), 1), -penalty)
    if targets.ndim == 2:
        targets = F.pad(targets, (0, 1))
    return F.cross_entropy(torch.cat([logits, rubbish], dim=1), targets)


def loss_of(recipe: Recipe) -> Loss:
    """The loss function that a resolved recipe names, from logits (N, classes) and targets to a mean.

    Targets are int64 (N,), or of mixed images float (N, classes), the share of each class.
    """
    if recipe.loss == "map":
        return lambda logits, targets: map_loss(logits, targets, recipe.map_penalty)
    return lambda logits, targets: F.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
