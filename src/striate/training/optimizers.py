"""Optimisers: SGD, AdamW, NAdam and Muon."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.models import depths, is_weight
from striate.training.settings import Recipe

# The quintic of the reference implementation: its slope at 0 is steep, and three steps of it bring the singular values
# that matter near enough to 1 (cifar10-airbench trains with the same three).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 3


class Muon(Optimizer):
    """Muon: Nesterov momentum, orthogonalised in the parameter groups that ask for it.

    Args:
        params: parameter groups; `orthogonal=True` in a group asks for orthogonal updates of its weights (two or more
            dimensions, the first being the outputs), otherwise the group is plain Nesterov SGD.
        lr: the learning rate; an orthogonal update has singular values of about lr.
        momentum: in [0, 1).
        weight_decay: decoupled: weights shrink by lr × weight_decay a step.
    """

    def __init__(
        self, params: Iterable[dict[str, Any]], lr: float = 0.02, momentum: float = 0.9, weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add(average, alpha=group["momentum"])
        if group["orthogonal"]:
            update = orthogonalized(update.flatten(1)).view_as(update)
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"])


def orthogonalized(matrix: Tensor) -> Tensor:
    """Approximate the nearest semi-orthogonal matrix by Newton–Schulz iteration.

    Args:
        matrix: float (outputs, inputs).

    Returns:
        The same shape; singular values between about 0.5 and 1.2 (smaller for directions that were all but absent),
        times √(outputs / inputs) where there are more outputs than inputs.
    """
    a, b, c = COEFFICIENTS
    outputs, inputs = matrix.shape
    x = matrix / (matrix.norm() + 1e-7)
    if outputs > inputs:
        x = x.T
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    if outputs > inputs:
        x = x.T * (outputs / inputs) ** 0.5
    return x


def optimizer_of(recipe: Recipe, model: nn.Module) -> Optimizer:
    """An optimiser over the model's trainable parameters; weight decay acts on weights, see `models.is_weight`.

    With Muon the updates of all weights but the last layer's are orthogonal; the last layer and the biases follow plain
    Nesterov momentum. With a `first_layer_rate` below 1, the groups' `share` of the learning rate grows from the first
    layer to the last, evenly on a logarithmic scale: discriminative fine-tuning (Howard and Ruder 2018, section 3.2).
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trainable if is_weight(parameter)]
    rest = {"params": [parameter for parameter in trainable if not is_weight(parameter)], "weight_decay": 0.0}
    if recipe.optimizer == "muon":
        hidden = {"params": weights[:-1], "weight_decay": recipe.weight_decay, "orthogonal": True}
        last = {"params": weights[-1:], "weight_decay": recipe.weight_decay}
        return Muon(_graded(recipe, model, hidden, last, rest), lr=recipe.learning_rate, momentum=recipe.momentum)
    groups = _graded(recipe, model, {"params": weights, "weight_decay": recipe.weight_decay}, rest)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    if recipe.optimizer == "nadam":
        return torch.optim.NAdam(groups, lr=recipe.learning_rate)
    nesterov = recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov)


def _graded(recipe: Recipe, model: nn.Module, *groups: dict[str, Any]) -> list[dict[str, Any]]:
    """Split the parameter groups by the share of the learning rate that their layers get."""
    if recipe.first_layer_rate == 1:
        return [group for group in groups if group["params"]]
    depth = depths(model)
    share = {id(p): recipe.first_layer_rate ** (1 - depth[name]) for name, p in model.named_parameters()}
    graded = []
    for group in groups:
        for each in sorted({share[id(p)] for p in group["params"]}):
            graded.append({**group, "params": [p for p in group["params"] if share[id(p)] == each], "share": each})
    return graded
