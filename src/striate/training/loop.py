"""The training loop.

for each step:
    batch      order, augmentation and dropout are functions of (seed, step)
    forward    logits and loss; a loss that is not finite ends the run here
    backward   gradients, clipped; of all shards together where the batch is divided, see gradients.py
    update     at this step's learning rate
    yield      what happened
"""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from striate import seeding
from striate.acceleration.precision import autocast
from striate.acceleration.training_layers import TrainingLayers
from striate.data.loader import Batch, Loader
from striate.errors import DivergedError
from striate.layers import StochasticDepth
from striate.models import Outputs, frozen_norms
from striate.processes import ALONE, World
from striate.training.gradients import AveragedGradients, ShardedGradients, WholeGradients
from striate.training.losses import loss_of
from striate.training.optimizers import optimizer_of
from striate.training.plan import Plan, learning_rate_factor
from striate.training.settings import Recipe


@dataclass(frozen=True)
class Step:
    """Result of one training step.

    Args:
        step: steps done since the run began, this one included.
        steps: how many the run has in all, as it is planned now.
        epoch: the epoch it belongs to, from 0.
        last_of_epoch: whether that epoch, or the run, ends with it.
        loss: the batch's mean loss, before the update.
        correct, samples: how many of the batch's samples had the right class first, and how many there were.
        learning_rate: what the update used.
        seconds, waiting: the step's time, and the part of it spent waiting for the batch.

    >>> recipe = striate.Recipe(precision="float32", loss="cross-entropy")
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> step = next(iter(Training(network, striate.Loader(data.train, batch_size=64), recipe)))
    >>> step.step, step.samples, step.epoch
    (1, 64, 0)
    """

    step: int
    steps: int
    epoch: int
    last_of_epoch: bool
    loss: float
    correct: int
    samples: int
    learning_rate: float
    seconds: float
    waiting: float


class Training:
    """A model in training: iterate to take steps. `step`, `plan`, the weights and `optimizer` are its whole state.

    Args:
        model: the network, already on the batches' device.
        batches: the training data.
        recipe: resolved, that is without "auto".
        class_weights: float32 (classes,), see `loss_of`.
        world: the processes that train it together, each with its own shards of the batches.

    >>> batches = striate.Loader(data.train, batch_size=64)
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> recipe = striate.Recipe(epochs=2, precision="float32", loss="cross-entropy")
    >>> losses = [step.loss for step in Training(network, batches, recipe)]
    >>> len(losses), losses[-1] < losses[0]
    (46, True)
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Loader,
        recipe: Recipe,
        class_weights: Tensor | None = None,
        world: World = ALONE,
    ):
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = batches
        self.recipe = recipe
        self.optimizer = optimizer_of(recipe, model, world)
        self.loss = loss_of(recipe, None if class_weights is None else class_weights.to(batches.device))
        self._gradients = self._gradients_of(world)
        self._layers = TrainingLayers(model, frozen_norms(model), batches.device, recipe.precision)
        self._modules = list(self.model.modules())
        self.step = 0
        epochs = 0 if recipe.only_fits_head else recipe.epochs
        self.plan = Plan.parse(recipe.steps or str(epochs * batches.steps_per_epoch))

    def _gradients_of(self, world: World) -> WholeGradients | ShardedGradients | AveragedGradients:
        if self.recipe.sync == "ddp" and world.size > 1:
            return AveragedGradients(self.model, world)
        if self.batches.shards > 1:
            return ShardedGradients(self.model, self.batches.shards, world)
        return WholeGradients(self.model)

    @property
    def steps(self) -> int:
        """The number of steps of the whole run, as it is planned now."""
        return self.plan.steps

    def __iter__(self) -> Iterator[Step]:
        """Take the remaining steps, yielding after each.

        Raises:
            DivergedError: when the loss is NaN or infinite; the update of that step is not made.
        """
        on_cpu = self.batches.device.type == "cpu"
        modes: dict[bool, list[bool]] = {}
        while self.step < self.steps:
            late = self.plan.done(self.step) > self.recipe.early_dropout
            if modes.get(late) != [module.training for module in self._modules]:
                self._set_mode(late)
                modes[late] = [module.training for module in self._modules]
            with nullcontext() if on_cpu else torch.backends.cudnn.flags(True, benchmark=False, deterministic=True):
                result = self._take()
            yield result

    def _set_mode(self, late: bool) -> None:
        self.model.train()
        for norm in frozen_norms(self.model):
            norm.eval()
        if late:
            for module in self._modules:
                if isinstance(module, _DropoutNd | StochasticDepth):
                    module.eval()

    def _take(self) -> Step:
        recipe, started = self.recipe, time.perf_counter()
        parts, samples = self.batches.parts(self.step), self.batches.batch_length(self.step)
        waited = time.perf_counter() - started
        learning_rate = recipe.learning_rate * learning_rate_factor(
            recipe.schedule, recipe.warmup, self.plan.done(self.step)
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("share", 1.0)

        self.optimizer.zero_grad(set_to_none=True)
        loss, correct = self._gradients(parts, samples, self._loss_of)
        if not math.isfinite(loss):
            raise DivergedError(diverged(self.step + 1, learning_rate, f"the loss became {loss}"))
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        with autocast(recipe.precision, self.batches.device):  # Muon's updates are products, too
            self.optimizer.step()

        self.step += 1
        epoch, position = divmod(self.step - 1, self.batches.steps_per_epoch)
        return Step(
            step=self.step,
            steps=self.steps,
            epoch=epoch,
            last_of_epoch=position + 1 == self.batches.steps_per_epoch or self.step == self.steps,
            loss=loss,
            correct=correct,
            samples=samples,
            learning_rate=learning_rate,
            seconds=time.perf_counter() - started,
            waiting=waited,
        )

    def _loss_of(self, network: nn.Module, batch: Batch, shard: int | None) -> tuple[Tensor, int]:
        """The mean loss of a batch or of one of its shards, and how many of its samples have the right class first."""
        inputs, targets = batch
        recipe, device = self.recipe, self.batches.device
        key = ("step", self.step) if shard is None else ("step", self.step, "shard", shard)
        with seeding.scoped(recipe.seed, *key, device=device), autocast(recipe.precision, device), self._layers:
            outputs = network(inputs)
        logits, auxiliary, weight = outputs if isinstance(outputs, Outputs) else (outputs, (), 0.0)
        loss = self.loss(logits.float(), targets)
        for each in auxiliary:
            loss = loss + weight * self.loss(each.float(), targets)
        answers = targets if targets.ndim == 1 else targets.argmax(dim=1)
        return loss, int((logits.detach().argmax(dim=1) == answers).sum())


def diverged(step: int, learning_rate: float, what: str) -> str:
    """Error message for a diverged run: where it happened, and what to try.

    >>> print(diverged(step=120, learning_rate=0.5, what="the loss is NaN")[:51])
    the loss is NaN at step 120, learning rate 0.5. Try
    """
    return (
        f"{what} at step {step}, learning rate {learning_rate:.3g}. Try --set learning_rate={learning_rate / 5:.2g}, "
        "a longer warm-up (--set warmup=0.3) or a tighter limit on the gradient (--set clip_norm=1)."
    )
