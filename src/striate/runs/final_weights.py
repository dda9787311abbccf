"""The file of a run's final weights."""

import json

import safetensors.torch
from torch import nn

from striate.files import sha256, write_atomic
from striate.runs import checkpoints
from striate.runs.run import Run


def write_weights(run: Run, module: nn.Module) -> str:
    """Write a run's final weights into its folder, with what describes them; return the file's SHA-256."""
    header = {
        "architecture": run.architecture.to_dict() if run.architecture else None,
        "classes": run.classes,
        "preprocess": run.preprocess.to_dict(),
    }
    # One key only: safetensors writes several in no fixed order, and equal runs are to have equal bytes.
    weights = checkpoints.portable(module.state_dict())
    data = safetensors.torch.save(weights, metadata={"striate": json.dumps(header)})
    write_atomic(run.path / "model.safetensors", data)
    return sha256(data)
