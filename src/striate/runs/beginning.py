"""The module that a run begins with, ready for its first step."""

from pathlib import Path

import torch
from torch import nn

from striate import models
from striate.data import Dataset
from striate.errors import ShapeError
from striate.inference import logits_of
from striate.models import Architecture
from striate.preprocess import Preprocess
from striate.runs.trained import preprocess_for


def made(model: str | nn.Module, data: Dataset, seed: int, weights: str | Path | None) -> tuple[nn.Module, Preprocess]:
    """The module to train, ready for its first step, and how images become its input."""
    for name, split in data.splits():
        if split.images.shape[1:] != data.train.images.shape[1:]:
            raise ShapeError(f"{data.source}: the images of {name} have another size than those of train.")
    if isinstance(model, nn.Module):
        preprocess = preprocess_for(model, data)
        _try_out(model, data, preprocess)
        return model, preprocess
    _, height, width, channels = data.train.images.shape
    adapt = weights is not None
    module = models.create(model, len(data.classes), channels, (height, width), seed, weights, adapt)
    preprocess = preprocess_for(module, data)
    if weights is None:
        _fit(module, data, preprocess)
    return module, preprocess


def architecture_of(module: nn.Module) -> Architecture | None:
    """The architecture that `create` made the module of, unless it was changed since."""
    made = getattr(module, "architecture", None)
    if not isinstance(made, Architecture):
        return None
    fresh = made.make(seed=0)
    shapes = [{name: t.shape for name, t in each.state_dict().items()} for each in (fresh, module)]
    return made if shapes[0] == shapes[1] else None


def _fit(module: nn.Module, data: Dataset, preprocess: Preprocess) -> None:
    """Initialise a fresh model from training images, where it has data-dependent layers."""
    images = data.train.images
    if len(index := models.fit_indices(module, len(images), images.shape[1:].numel())):
        models.fit(module, preprocess.normalize(images[index]))


def _try_out(module: nn.Module, data: Dataset, preprocess: Preprocess) -> None:
    """Refuse a module that does not take these images or has another number of outputs."""
    images = data.train.images[:2]
    given = (len(images), preprocess.channels, preprocess.height, preprocess.width)
    device = next(module.parameters(), torch.empty(0)).device
    try:
        shape = tuple(logits_of(module, images, preprocess, device).shape)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ShapeError(f"the model does not take images of shape {given}: {error}") from error
    if shape != (len(images), len(data.classes)):
        raise ShapeError(
            f"the model gives {shape} for images of shape {given}: "
            f"{data.source} has {len(data.classes)} classes and needs ({len(images)}, {len(data.classes)})."
        )
