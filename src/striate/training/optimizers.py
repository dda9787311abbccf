"""Optimisers: SGD, AdamW, NAdam and Muon."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import unwrap
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.models import depths, is_weight
from striate.processes import ALONE, World
from striate.training.settings import Recipe

# The quintic of the reference implementation: its slope at 0 is steep, and three steps of it bring the singular values
# that matter near enough to 1 (cifar10-airbench trains with the same three).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 3
GRAM_FROM = 2  # columns for each row, from which the Gram matrix is iterated: it takes fewer operations from 1.5


class EagerOptimizer(Optimizer):
    """An optimiser whose methods are called as written.

    PyTorch wraps them for its compiler, and the first call of a wrapper imports the compiler, which takes most of a
    second. Nothing is compiled here.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class SGD(EagerOptimizer, torch.optim.SGD):
    """PyTorch's SGD."""

    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


class AdamW(EagerOptimizer, torch.optim.AdamW):
    """PyTorch's AdamW."""

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


class NAdam(EagerOptimizer, torch.optim.NAdam):
    """PyTorch's NAdam."""

    step = torch.no_grad()(unwrap(torch.optim.NAdam.step))


class Muon(EagerOptimizer):
    """Muon: Nesterov momentum, orthogonalised in the parameter groups that ask for it.

    Args:
        params: parameter groups; `orthogonal=True` in a group asks for orthogonal updates of its weights (two or more
            dimensions, the first being the outputs), otherwise the group is plain Nesterov SGD.
        lr: the learning rate; an orthogonal update has singular values of about lr.
        momentum: in [0, 1).
        weight_decay: decoupled: weights shrink by lr × weight_decay a step.
        world: the processes that train together: each makes some of the updates orthogonal, and sends them to all.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        world: World = ALONE,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "orthogonal": False})
        self.world = world

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                self._average(parameter, group["momentum"])
            if group["orthogonal"]:
                updates = self._orthogonal(parameters, group["momentum"])
            else:
                updates = (self._nesterov(parameter, group["momentum"]) for parameter in parameters)
            for parameter, update in zip(parameters, updates, strict=True):
                if group["weight_decay"]:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])
        return loss

    def _average(self, parameter: Tensor, momentum: float) -> None:
        """Add the gradient to its decaying sum."""
        state, gradient = self.state[parameter], cast(Tensor, parameter.grad)
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        torch.add(gradient, state["momentum"], alpha=momentum, out=state["momentum"])

    def _nesterov(self, parameter: Tensor, momentum: float) -> Tensor:
        """The gradient with Nesterov momentum."""
        return cast(Tensor, parameter.grad).add(self.state[parameter]["momentum"], alpha=momentum)

    def _orthogonal(self, parameters: Sequence[Tensor], momentum: float) -> Iterator[Tensor]:
        """The nearest orthogonal updates, each computed by one of the processes."""

        def computed(parameter: Tensor) -> Tensor:
            return orthogonalized(self._nesterov(parameter, momentum).flatten(1))

        if self.world.size == 1:
            yield from (computed(parameter).view_as(parameter) for parameter in parameters)
            return
        if not parameters:
            return
        shapes, size = [parameter.shape for parameter in parameters], self.world.size
        owners = _owners(shapes, size)
        own = [computed(parameter).flatten() for parameter, owner in zip(parameters, owners, strict=True)
               if owner == self.world.rank]  # fmt: skip
        sizes = [sum(shape.numel() for shape, owner in zip(shapes, owners, strict=True) if owner == rank)
                 for rank in range(size)]  # fmt: skip
        first = parameters[0]
        of_none = torch.empty(0, dtype=_product_type(first), device=first.device)  # of a process that computes none
        found = self.world.exchanged(torch.cat([of_none, *own]), sizes)
        for shape, owner in zip(shapes, owners, strict=True):
            flat, found[owner] = found[owner][: shape.numel()], found[owner][shape.numel() :]
            yield flat.view(shape)


def _owners(shapes: Sequence[torch.Size], processes: int) -> list[int]:
    """The process that computes each matrix, so that all have about as much to do: the largest are given out first."""
    work = [shape[0] * shape[1:].numel() * min(shape[0], shape[1:].numel()) for shape in shapes]
    owners, loads = [0] * len(shapes), [0] * processes
    for place in sorted(range(len(shapes)), key=lambda place: -work[place]):
        owners[place] = loads.index(min(loads))
        loads[owners[place]] += work[place]
    return owners


def _product_type(factor: Tensor) -> torch.dtype:
    """The type of a product with this tensor."""
    kind = factor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else factor.dtype


def orthogonalized(matrix: Tensor) -> Tensor:
    """Approximate the nearest semi-orthogonal matrix by Newton–Schulz iteration.

    Each step multiplies the matrix X by a polynomial of X Xᵀ. Where X has many more columns than rows, the steps are
    taken with X Xᵀ alone, and their product multiplies X at the end: two products with X instead of six.

    Args:
        matrix: float (outputs, inputs).

    Returns:
        The same shape; singular values between about 0.5 and 1.2 (smaller for directions that were all but absent),
        times √(outputs / inputs) where there are more outputs than inputs.
    """
    outputs, inputs = matrix.shape
    x = (matrix / (matrix.norm() + 1e-7)).to(_product_type(matrix))
    if outputs > inputs:
        x = x.T
    x = _by_gram(x) if len(x) * GRAM_FROM <= x.shape[1] else _by_itself(x)
    if outputs > inputs:
        x = x.T * (outputs / inputs) ** 0.5
    return x


def _by_itself(x: Tensor) -> Tensor:
    """The steps one after another."""
    a, b, c = COEFFICIENTS
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _by_gram(x: Tensor) -> Tensor:
    """The product of the steps' polynomials, each of the Gram matrix of what the steps before have made; times x."""
    gram = x @ x.T
    product = polynomial = _polynomial(gram)
    for _ in range(NEWTON_SCHULZ_STEPS - 1):
        gram = polynomial @ gram @ polynomial
        polynomial = _polynomial(gram)
        product = polynomial @ product
    return product @ x


def _polynomial(gram: Tensor) -> Tensor:
    a, b, c = COEFFICIENTS
    found = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    found.diagonal().add_(a)
    return found


def optimizer_of(recipe: Recipe, model: nn.Module, world: World = ALONE) -> Optimizer:
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
        groups = _graded(recipe, model, hidden, last, rest)
        return Muon(groups, lr=recipe.learning_rate, momentum=recipe.momentum, world=world)
    groups = _graded(recipe, model, {"params": weights, "weight_decay": recipe.weight_decay}, rest)
    if recipe.optimizer == "adamw":
        return AdamW(groups, lr=recipe.learning_rate)
    if recipe.optimizer == "nadam":
        return NAdam(groups, lr=recipe.learning_rate)
    nesterov = recipe.nesterov and recipe.momentum > 0
    # On a CPU one call updates all parameters, in a third of the time; some sums differ in their last bit.
    on_cpu = all(parameter.device.type == "cpu" and parameter.is_floating_point() for parameter in trainable)
    return SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=on_cpu or None)


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
