"""Checkpoints: safetensors + JSON, atomic, checksummed, the previous one kept.

A checkpoint is `step-N.safetensors` (weights and optimiser state) and `step-N.json` (everything else, the SHA-256 of
the first and of the run's other files, and its own checksum). The JSON is written last: a checkpoint without it does
not exist.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.errors import CheckpointError, DivergedError
from striate.files import sealed, sha256, write_atomic, write_json
from striate.processes import World
from striate.runs import records

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A training state: tensors, and plain values (`step` among them)."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def capture(model: nn.Module, optimizer: Optimizer, values: dict[str, Any]) -> Checkpoint:
    """The state of a training as a checkpoint.

    Raises:
        DivergedError: if a weight is NaN or infinite; such a state must not replace a good one.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DivergedError(f"{name.removeprefix('model.')} became NaN or infinite at step {values['step']}.")
    scalars: dict[str, Any] = {}
    for position, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{position}.{name}"] = value
            elif value is not None:
                scalars[f"{position}.{name}"] = value
    return Checkpoint(portable(tensors), {**values, "scalars": scalars})


def portable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies as safetensors takes them: on the CPU, contiguous, none sharing memory with another as tied weights do."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: Optimizer) -> None:
    """Put a checkpoint's state into a model and an optimiser of the same kind."""
    load_weights(model, part(checkpoint, "model"), "checkpoint")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in part(checkpoint, "optimizer").items():
        position, name = key.split(".", 1)
        owner = parameters[int(position)]
        if tensor.shape == owner.shape:  # memory laid out as the weight's: other strides take other kernels, and round
            tensor = torch.empty_like(owner, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(position), {})[name] = tensor
    for key, value in checkpoint.values["scalars"].items():
        position, name = key.split(".", 1)
        state.setdefault(int(position), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def part(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix.`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in checkpoint.tensors.items() if name.startswith(start)}


def load_weights(model: nn.Module, weights: dict[str, Tensor], origin: str | Path) -> None:
    """Load weights strictly; all that does not fit is named in one error.

    Raises:
        CheckpointError: for missing, surplus or differently shaped tensors.
    """
    own = model.state_dict()
    problems = [f"missing {name}" for name in own if name not in weights]
    problems += [f"surplus {name}" for name in weights if name not in own]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if problems:
        raise CheckpointError(f"the weights of {origin} don't fit this model: {'; '.join(problems)}.")
    model.load_state_dict(weights)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and remove all but the newest two.

    Raises:
        StorageError: if it can't be written; the checkpoints before it stay as they were.
    """
    stem = f"step-{checkpoint.values['step']:09d}"
    data = safetensors.torch.save(checkpoint.tensors)
    write_atomic(folder / f"{stem}.safetensors", data)
    write_json(folder / f"{stem}.json", sealed({**checkpoint.values, "sha256": sha256(data)}))
    for old in sorted(folder.glob("step-*.json"))[:-KEPT]:
        old.unlink()
    complete = {path.stem for path in folder.glob("step-*.json")}
    for orphan in [*folder.glob("step-*.safetensors"), *folder.glob(".step-*.part")]:
        if orphan.stem not in complete:
            orphan.unlink()


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Find the newest undamaged checkpoint, with a sentence on each newer, damaged one.

    Raises:
        CheckpointError: if there are checkpoints and all of them are damaged.
    """
    damaged: list[str] = []
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            return _read(path), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    if damaged:
        raise CheckpointError(f"no checkpoint in {folder} is whole: {' '.join(damaged)} Train again with a new --out.")
    return None, damaged


def sent(world: World, checkpoint: Checkpoint | None) -> Checkpoint:
    """The first process's checkpoint, in all of them; the others give `None`."""
    if checkpoint is not None and world.size == 1:
        return checkpoint
    tensors = world.bytes_from_first(lambda: safetensors.torch.save(checkpoint.tensors if checkpoint else {}))
    values = world.from_first(lambda: checkpoint.values if checkpoint else {})
    return checkpoint or Checkpoint(safetensors.torch.load(tensors), values)


def share_weights(world: World, model: nn.Module) -> None:
    """Give the weights of the first process's model to those of the others."""
    if world.size > 1:
        content = world.bytes_from_first(lambda: safetensors.torch.save(portable(model.state_dict())))
        model.load_state_dict(safetensors.torch.load(content))


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints beyond a step: damaged ones, which must not count among the newest that are kept."""
    for path in [*folder.glob("step-*.json"), *folder.glob("step-*.safetensors")]:
        if int(path.stem.removeprefix("step-")) > step:
            path.unlink()


def _read(path: Path) -> Checkpoint:
    values = records.read(path, records.CheckpointRecord)
    return Checkpoint(read_weights(path.with_suffix(".safetensors"), values.pop("sha256")), values)


def read_weights(path: Path, checksum: str) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file and verify its SHA-256.

    Raises:
        CheckpointError: if the file is missing or is not the one that was written.
    """
    return safetensors.torch.load(records.verified(path, checksum))
