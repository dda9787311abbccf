"""Making a model by its name, with fresh weights or with those in a file."""

from contextlib import suppress
from pathlib import Path

from torch import nn

from striate.errors import ArgumentError, ShapeError, renamed
from striate.models.registry import Architecture, Value, build, facts, option_value, parse
from striate.models.weights.adapt import fits, intended, normalization
from striate.models.weights.file import WeightFile, read
from striate.models.weights.load import load

_ARGUMENTS = ("classes", "channels", "image_size", "seed", "weights")


def create(
    name: str,
    classes: int | None = None,
    channels: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    seed: int | None = None,
    weights: str | Path | None = None,
    adapt: bool = False,
    **options: Value,
) -> nn.Module:
    """Make a model, with fresh weights or with those in a file.

    Args:
        name: one of `names()`; options may follow a colon, as in "resnet18:stem=small".
        classes: how many classes it tells apart, at least 2; 10 if not given.
        channels: 1 for grey images, which holds if not given, 3 for colour.
        image_size: height and width of its input in pixels; one number means a square; 28 if not given.
        seed: makes the weights reproducible; without it they come from PyTorch's default generator.
        weights: a .safetensors or PyTorch file, torchvision's among them, or the folder of a finished run. What is not
            given is then what the file's weights were made for, as far as they show it: classes, channels, the stem;
            with a run's, the image size and all options; with published ones, images of 224 pixels.
        adapt: whether the file may be for other numbers of channels and classes than are given; see `weights.load`.
        options: choices that the model offers, see `facts(name).options`; and for every model with strided layers
            `antialias`, True or one of the filters in `layers.FILTERS`, see `antialias`.

    Returns:
        A module from float32 (N, channels, height, width) to logits (N, classes). In training mode a network with
        auxiliary classifiers returns `Outputs`. Set on it are `architecture`; `notes`, what was changed in the file's
        weights; and `normalization`, the mean and standard deviation of images that these weights expect, or `None`.

    Raises:
        ArgumentError: for an unknown name or option, or an impossible number.
        ShapeError: for an image size the architecture can't take.
        CheckpointError: if the file can't be used, or does not fit the model.
    """
    if called := renamed(options, _ARGUMENTS):
        raise ArgumentError(f"create('{name}', …): {called}.")
    name, chosen = parse(name)
    if twice := set(chosen) & set(options):
        raise ArgumentError(f"option {min(twice)} of {name} is given twice; leave one of them out.")
    chosen |= {key: option_value(name, key, value) for key, value in options.items()}
    if weights is not None:
        return _loaded(read(weights), adapt, name, classes, channels, image_size, seed, chosen)
    if adapt:
        raise ArgumentError("adapt=True is about weights from a file: pass weights=.")
    return build(name, classes, channels, image_size, seed, chosen)


def _loaded(
    file: WeightFile,
    adapt: bool,
    name: str,
    classes: int | None,
    channels: int | None,
    image_size: int | tuple[int, int] | None,
    seed: int | None,
    chosen: dict[str, Value],
) -> nn.Module:
    """Make a model with a file's weights; what is `None` or not chosen follows from the weights."""
    known = facts(name)
    kept = file.header.get("architecture")
    if kept and kept["name"] == name:
        run = Architecture.from_dict(kept)
        classes = run.classes if classes is None else classes
        channels = run.channels if channels is None else channels
        image_size = run.image_size if image_size is None else image_size
        chosen = {**{key: option_value(name, key, value) for key, value in run.options.items()}, **chosen}
    elif known.normalization and image_size is None:
        image_size = known.published_size
    model = build(name, classes, channels, image_size, seed, chosen)
    if "stem" in known.options and "stem" not in chosen:
        for stem in known.options["stem"].values:
            if not fits(model, file):
                with suppress(ShapeError):  # the image is too small for this stem
                    other = build(name, classes, channels, image_size, seed, {**chosen, "stem": stem})
                    model = other if fits(other, file) else model
    if classes is None or channels is None:
        theirs = intended(model, file)
        classes, channels = classes or theirs[0], channels or theirs[1]
        model = build(name, classes, channels, image_size, seed, vars(model)["architecture"].options)
    vars(model)["notes"] = load(model, file, adapt)
    vars(model)["normalization"] = normalization(file, known.normalization, vars(model)["architecture"].channels)
    return model
