"""Loading the weights of a file into a model."""

from pathlib import Path

from torch import nn

from striate.errors import CheckpointError
from striate.models.weights.adapt import PUBLISHED_SIZE, adapted, fits, misfits
from striate.models.weights.file import WeightFile, read
from striate.models.weights.identify import likely


def load(model: nn.Module, weights: str | Path | WeightFile, adapt: bool = False) -> tuple[str, ...]:
    """Load the weights in a file into a model, all of them.

    Without `adapt` nothing is changed but this: prefixes that all names share, because the model was wrapped when it
    was saved, are taken off; auxiliary classifiers that the model does not have are left out; and batch
    normalisation's count of batches, which old files lack and nothing reads, may be missing.

    With `adapt`, the first convolution is brought from colour to grey by summing its weights over the input channels,
    which gives what the file's model gives for grey images in three equal channels, normalised alike; from grey to
    colour, each channel gets an equal share. Layers that end in classes keep the model's own weights if the file tells
    another number of classes apart, and auxiliary classifiers if the file has none.

    Args:
        model: any module; one made by `create` is named in errors.
        weights: a file or a run's folder, see `read`.
        adapt: whether to adapt channels and classes.

    Returns:
        What was changed, a sentence each.

    Raises:
        CheckpointError: if the file can't be used, or does not fit: then all that differs is named together, and what
            the file is likely to be. The model stays as it was.
    """
    file = weights if isinstance(weights, WeightFile) else read(weights)
    tensors, notes = adapted(model, file, adapt)
    problems = misfits(model, tensors)
    if problems:
        name = _name(model)
        raise CheckpointError(f"the weights in {file.path} don't fit {name}: {problems}. {_advice(model, file, adapt)}")
    model.load_state_dict(tensors)
    return tuple(notes)


def _advice(model: nn.Module, file: WeightFile, adapt: bool) -> str:
    """What the file is, and what to do about it."""
    if not adapt and fits(model, file):
        return "They can be adapted to it: pass adapt=True (--adapt)."
    kept = file.header.get("architecture")
    if kept:
        height, width = kept["image_size"]
        size = f"{kept['classes']} classes and images of {kept['channels']}×{height}×{width}"
        return f"They are those of {kept['name']} for {size} (channels×height×width)."
    made = getattr(model, "architecture", None)
    other = likely(file, made.image_size if made else PUBLISHED_SIZE)
    return f"They fit {other}: create that." if other else "They fit none of Striate's models."


def _name(model: nn.Module) -> str:
    made = getattr(model, "architecture", None)
    return made.text if made is not None else type(model).__name__
