"""Loading the weights of a file into a model, and finding the registered model that a file fits."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.errors import ArgumentError, CheckpointError
from striate.models.registry import Value, build, facts, names
from striate.models.weights.adapt import PUBLISHED_SIZE, adapted, fits, misfits
from striate.models.weights.file import WeightFile, read
from striate.models.weights.names import Found, few, find, shown


def load(model: nn.Module, weights: str | Path | WeightFile, adapt: bool = False) -> tuple[str, ...]:
    """Load the weights in a file into a model, all of them.

    Without `adapt` only this is changed: of all that a training script saved, the set of tensors with the model's names
    is taken, under whatever prefix, see `names.find`; names that another program gives the layers, the model's
    `aliases`, are replaced; auxiliary classifiers that the model does not have are left out; and batch normalisation's
    count of batches, which old files lack and nothing reads, may be missing.

    With `adapt`, the first convolution is converted from colour to grey by summing its weights over the input channels,
    which gives the same output as the file's model for grey images in three equal channels, normalised equally; from
    grey to colour, each channel gets an equal share. Layers that output classes keep the model's own weights if the
    file has another number of classes or no last layer, and auxiliary classifiers if the file has none.

    Args:
        model: any module; one made by `create` is named in errors.
        weights: a file or a run's folder, see `read`.
        adapt: whether to adapt channels and classes.

    Returns:
        A sentence on each change.

    Raises:
        CheckpointError: if the file can't be used, or does not fit: the error then lists all differences, and the model
            that the file probably belongs to. The model stays as it was.
    """
    file = weights if isinstance(weights, WeightFile) else read(weights)
    found, tensors, notes = demand_fit(model, file, adapt)
    if rivals := [prefix for prefix, other in found.rivals.items() if not _are_equal(other, found.tensors)]:
        sets = few([shown(prefix) for prefix in (found.prefix, *rivals)])
        raise CheckpointError(
            f"{file.path} holds several sets of weights that fit {_name(model)}: {sets}. Save the one you mean alone."
        )
    _refuse_unusable(model, file, tensors)
    model.load_state_dict(tensors)
    return tuple(notes)


def demand_fit(model: nn.Module, file: WeightFile, adapt: bool) -> tuple[Found, dict[str, Tensor], list[str]]:
    """Find a file's weights for a model and adapt them, by names and shapes alone.

    Returns:
        The weights as they are in the file; adapted, by the model's names; and a sentence on each change.

    Raises:
        CheckpointError: listing all that does not fit.
    """
    found = find(model, file.tensors)
    tensors, notes = adapted(model, found, adapt)
    if problems := misfits(model, tensors):
        within = f" under '{shown(found.prefix)}'" if found.prefix else ""
        raise CheckpointError(
            f"the weights in {file.path}{within} don't fit {_name(model)}: {problems}. {_advice(model, file, adapt)}"
        )
    return found, tensors, notes


def outlined(
    name: str,
    classes: int | None,
    channels: int | None,
    image_size: int | tuple[int, int] | None,
    options: dict[str, Value],
) -> nn.Module:
    """Make a registered model on the device meta: names and shapes, without memory or numbers."""
    with torch.device("meta"), _Undrawn():
        return build(name, classes, channels, image_size, None, options)


def _are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def _refuse_unusable(model: nn.Module, file: WeightFile, tensors: dict[str, Tensor]) -> None:
    """Raise for numbers that are none, or become none in the model's type, and for negative variances."""
    for name, own in model.state_dict().items():
        values = tensors[name].to(own.dtype)
        if own.is_floating_point() and not torch.isfinite(values).all():
            raise CheckpointError(f"{file.path} can't be used: {name} holds NaN or infinite numbers.")
        if name.endswith("running_var") and values.numel() and values.min() < 0:
            raise CheckpointError(f"{file.path} can't be used: {name}, a variance, is negative.")


def likely(file: WeightFile, image_size: tuple[int, int]) -> str | None:
    """Return the model that the weights fit, up to channels and classes, as text for `create`; `None` if none."""
    found = Counter(tensor.shape for tensor in file.tensors.values())
    for name in names():
        stem = facts(name).options.get("stem")
        for chosen in [{"stem": value} for value in stem.values] if stem else [{}]:
            try:
                model, shapes = _candidate(name, tuple(chosen.items()), image_size)
            except ArgumentError:  # this one does not take such images
                continue
            alike = (shapes & found).total() >= shapes.total() / 2  # all but the first and the last layer
            if alike and fits(model, file):
                return model.architecture.text  # type: ignore[union-attr, return-value]
    return None


@cache  # making all models takes seconds, and a program may try many files
def _candidate(
    name: str, options: tuple[tuple[str, Value], ...], image_size: tuple[int, int]
) -> tuple[nn.Module, Counter[torch.Size]]:
    model = outlined(name, None, None, image_size, dict(options))
    return model, Counter(parameter.shape for parameter in model.parameters())


class _Undrawn(TorchFunctionMode):
    """Mode that skips drawing random weights: the meta device has no values, but drawing them takes seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "").endswith(("normal_", "uniform_")):  # of tensors, and of torch.nn.init
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _advice(model: nn.Module, file: WeightFile, adapt: bool) -> str:
    """Return a sentence on the model the file belongs to, and the remedy."""
    if not adapt and fits(model, file):
        return "They can be adapted to it: pass adapt=True."
    kept = file.header.get("architecture")
    if kept:
        height, width = kept["image_size"]
        size = f"{kept['classes']} classes and images of {kept['channels']}×{height}×{width}"
        return f"They belong to {kept['name']} for {size} (channels×height×width)."
    made = getattr(model, "architecture", None)
    other = likely(file, made.image_size if made else PUBLISHED_SIZE)
    return f"They fit {other}: create that." if other else "They fit none of Striate's models."


def _name(model: nn.Module) -> str:
    made = getattr(model, "architecture", None)
    return made.text if made is not None else type(model).__name__
