"""What the tests of the deep networks share: models without memory, their tables, and weights to compute with."""

import hashlib
import json

import torch
from torch import Tensor, nn

from striate import models
from striate.inspection import ArchitectureTable, describe


def sketch(name: str, size: int | tuple[int, int] = 224, classes: int = 1000, channels: int = 3) -> nn.Module:
    """A model on the meta device: shapes and names, but no numbers. Initialising 138 million of them takes seconds."""
    with torch.device("meta"):
        return models.create(name, classes, channels, size)


def drawn(name: str, size: int | tuple[int, int] = 224) -> ArchitectureTable:
    """The architecture table for colour images and 1,000 classes, as `striate describe` prints it."""
    return describe(sketch(name, size))


def outputs(table: ArchitectureTable) -> dict[str, tuple[int, ...]]:
    """Maps, height and width (or units) that each layer makes."""
    return {row.layer: (row.channels or 0, *(row.size or ())) for row in table.rows}


def count(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The state's names and shapes, in order."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def digest(state: dict[str, tuple[int, ...]]) -> str:
    """A short hash of names and shapes, to compare with those of other people's models."""
    return hashlib.sha256(json.dumps(sorted(state.items())).encode()).hexdigest()[:16]


def normed(x: Tensor, state: dict[str, Tensor], at: str, epsilon: float) -> Tensor:
    """Batch normalisation by its running statistics, written out."""
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, scale, shift = (state[f"{at}.{name}"][:, None, None] for name in names)
    return (x - mean) / (variance + epsilon).sqrt() * scale + shift


def filled(model: nn.Module) -> dict[str, Tensor]:
    """Give a model numbers that keep signals near 1, none of them special, and return its state.

    Matrices get deviation sqrt(2 / fan-in), scales and variances lie in 0.5 … 1.5, biases and means in ±0.5.
    """
    for i, (name, tensor) in enumerate(model.state_dict().items()):
        draw = torch.Generator().manual_seed(i)
        if tensor.ndim > 1:
            tensor.uniform_(-1, 1, generator=draw).mul_((6 / tensor[0].numel()) ** 0.5)
        elif name.endswith((".weight", "running_var")):
            tensor.uniform_(0.5, 1.5, generator=draw)
        elif tensor.is_floating_point():
            tensor.uniform_(-0.5, 0.5, generator=draw)
    return model.state_dict()


def pictures(count: int, channels: int, height: int, width: int) -> Tensor:
    """Normal noise, always the same."""
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(0))
