"""Gradients of a batch: of all of it at once, of its shards on any number of processes, or by DistributedDataParallel.

A shard is computed as if it were alone: its batch normalisation sees its own samples, and starts from the running
statistics before the step. A batch's loss, gradient and change of the running statistics are the means of its shards',
each weighted by its samples.
"""

import math
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from striate.data.loader import Batch
from striate.errors import ArgumentError
from striate.processes import World

# From a network, a batch and its shard to the mean loss, and how many samples were right.
Compute = Callable[[nn.Module, Batch, int | None], tuple[Tensor, int]]

# Whether each forward pass sends the first process's buffers to the others: torch 2.13 has renamed it.
_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in signature(DistributedDataParallel).parameters
)
DDP_SETTINGS: dict[str, Any] = {
    "bucket_cap_mb": 25,
    "gradient_as_bucket_view": True,
    "static_graph": False,
    _BUFFERS: False,
}


class WholeGradients:
    """Gradients of whole batches."""

    def __init__(self, model: nn.Module):
        self.model = model

    def __call__(self, parts: Sequence[Batch], samples: int, compute: Compute) -> tuple[float, int]:
        """Compute the gradients of a batch; return its loss, and how many of its samples were right.

        Args:
            parts: this process's shards of the batch.
            samples: in the whole batch.
            compute: called for each of them.

        Returns:
            A loss that is not finite leaves no gradients.
        """
        loss, correct = compute(self.model, parts[0], None)
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
        return value, correct


class ShardedGradients:
    """Gradients of batches in shards: equal bytes on any number of processes that divides the number of shards.

    Two shards of a process share their gradients; the changes of all buffers, the loss, and how many samples were right
    are one vector more. A process holds as many of such sums at a time as its shards can be halved, but one at least.

    Args:
        model: on its device, in the memory format it keeps.
        shards: how many a batch has.
        world: the processes, whose number divides that of the shards.

    Raises:
        ArgumentError: if the number does not, or the parameters have several types.
    """

    def __init__(self, model: nn.Module, shards: int, world: World):
        check_shards(shards, world.size)
        self.model, self.shards, self.world = model, shards, world
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if len(kinds := {str(parameter.dtype) for parameter in self.parameters}) > 1:
            raise ArgumentError(f"shards={shards}: the parameters are of several types, {' and '.join(sorted(kinds))}.")
        self.buffers = _Buffers(model)

    def __call__(self, parts: Sequence[Batch], samples: int, compute: Compute) -> tuple[float, int]:
        """As `WholeGradients`; the buffers are set, too."""
        before, first = self.buffers.values(), self.parameters[0]
        own = self.world.share(self.shards)

        def made(shards: range) -> list[Tensor]:
            for parameter in self.parameters:
                parameter.grad = None
            told = torch.zeros(len(before) + 2, dtype=first.dtype, device=first.device)
            for shard in shards:  # the gradients of a second one are added to those of the first by PyTorch
                told += self._of_shard(parts[shard - own.start], shard, samples, compute, before)
            return [*map(_gradient, self.parameters), told]

        *gradients, told = self.world.summed(self.shards, made, most=2)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        changes, loss, correct = told.split([len(before), 1, 1])
        self.buffers.set(before + changes)
        return float(loss), round(float(correct))

    def _of_shard(self, batch: Batch, shard: int, samples: int, compute: Compute, before: Tensor) -> Tensor | float:
        """Add a shard's gradients; return its other values, or 0 if it is empty."""
        if not len(batch.targets):
            return 0.0
        share = len(batch.targets) / samples
        loss, correct = compute(self.model, batch, shard)
        (loss * share).backward()
        told = _told(self.buffers.changes(before, share, shard == 0), loss, share, correct)
        self.buffers.set(before)
        return told


class AveragedGradients:
    """Gradients by DistributedDataParallel, of a shard for each process: faster, and different bytes for each number.

    Args:
        model: on its device.
        world: several processes.
    """

    def __init__(self, model: nn.Module, world: World):
        self.world, self.buffers = world, _Buffers(model)
        on_cpu = next(model.parameters()).device.type == "cpu"
        with world.guarded():
            group = world.links.group if on_cpu else None
            self.network = DistributedDataParallel(model, process_group=group, **DDP_SETTINGS)

    def __call__(self, parts: Sequence[Batch], samples: int, compute: Compute) -> tuple[float, int]:
        """As `WholeGradients`; the buffers are set, too."""
        batch, rank, size = parts[0], self.world.rank, self.world.size
        share = len(batch.targets) / samples
        if not share:  # all processes take part in each step: two black images that count nothing
            targets = torch.zeros(2, dtype=torch.int64, device=batch.inputs.device)
            batch = Batch(batch.inputs.new_zeros(2, *batch.inputs.shape[1:]), targets)
        before = self.buffers.values()
        with self.world.guarded():
            loss, correct = compute(self.network, batch, rank)
            (loss * (share * size)).backward()  # the mean of the processes' gradients is taken
        told = _told(self.buffers.changes(before, share, rank == 0), loss, share, correct if share else 0)
        (total,) = self.world.summed(size, lambda shards: [told])
        self.buffers.set(before + total[:-2])
        return float(total[-2]), round(float(total[-1]))


class _Buffers:
    """A model's buffers, such as running statistics and counters, as one vector; those that are true or false stay."""

    def __init__(self, model: nn.Module):
        self.all = [buffer for buffer in model.buffers() if buffer.dtype != torch.bool]
        self.sizes = [buffer.numel() for buffer in self.all]
        counting = [torch.full((buffer.numel(),), not buffer.is_floating_point()) for buffer in self.all]
        self.device = next(model.parameters()).device
        self.counting = torch.cat(counting).to(self.device) if counting else torch.empty(0, dtype=torch.bool)

    def values(self) -> Tensor:
        """Copies of their values: float64, which holds both kinds exactly."""
        if not self.all:
            return torch.empty(0, dtype=torch.float64, device=self.device)
        return torch.cat([buffer.detach().flatten() for buffer in self.all]).double()

    def changes(self, before: Tensor, share: float, counts: bool) -> Tensor:
        """Their changes since `before`, times a share; the counters' as they are where that shard counts, else 0."""
        change = self.values() - before
        return torch.where(self.counting, change * float(counts), change * share)

    @torch.no_grad()
    def set(self, values: Tensor) -> None:
        """Set them to these values."""
        for buffer, some in zip(self.all, values.split(self.sizes), strict=True):
            buffer.copy_(some.view(buffer.shape))


def _gradient(parameter: Tensor) -> Tensor:
    """Its gradient, laid out as it is; zeros where the network did not use it."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _told(changes: Tensor, loss: Tensor, share: float, correct: int) -> Tensor:
    """The values in a shard's vector after its gradients."""
    return torch.cat([changes.to(loss.dtype), torch.stack([loss.detach() * share, loss.new_tensor(float(correct))])])


def check_shards(shards: int, processes: int) -> None:
    """Refuse a number of processes that does not divide that of the shards.

    Raises:
        ArgumentError: saying which numbers fit.
    """
    if shards % processes:
        fitting = ", ".join(str(number) for number in range(1, shards + 1) if shards % number == 0)
        raise ArgumentError(
            f"{processes} processes do not divide {shards} shards: start {fitting} of them, or train anew with "
            f"--shards {processes} or a multiple of it."
        )
