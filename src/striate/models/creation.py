"""Making a model by its name, with fresh weights, published ones, or those in a file."""

from contextlib import suppress
from pathlib import Path

from torch import nn

from striate.errors import ArgumentError, ShapeError, renamed
from striate.models.registry import Architecture, Value, build, facts, option_value, parse
from striate.models.weights.adapt import fits, input_of, intended, normalization
from striate.models.weights.file import WeightFile, read
from striate.models.weights.imagenet import class_names
from striate.models.weights.load import demand_fit, load, outlined
from striate.models.weights.pretrained import NAME, located
from striate.preprocess import Preprocess
from striate.types import Progress

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
    """Make a model, with fresh weights, published ones, or those in a file.

    Args:
        name: one of `names()`; options may follow a colon, as in "resnet18:stem=small".
        classes: how many classes it tells apart, at least 2; 10 if not given.
        channels: 1 for grey images, which holds if not given, 3 for colour.
        image_size: height and width of its input in pixels; one number means a square; 28 if not given.
        seed: makes the weights reproducible; without it they come from PyTorch's default generator.
        weights: "imagenet" for published weights, see `pretrained.located`; or a .safetensors or PyTorch file,
            torchvision's among them, or the folder of a finished run. What is not given is then what the weights were
            made for, as far as they show it: classes, channels, the stem, the image size; with a run's, all options.
        adapt: whether the file may be for other numbers of channels and classes than are given; see `weights.load`.
        options: choices that the model offers, see `facts(name).options`; and for every model with strided layers
            `antialias`, True or one of the filters in `layers.FILTERS`, see `antialias`.

    Returns:
        A module from float32 (N, channels, height, width) to logits (N, classes). In training mode a network with
        auxiliary classifiers returns `Outputs`. Set on it are `architecture`; `notes`, what was changed in the file's
        weights; `normalization`, the mean and standard deviation of images that these weights expect, or `None`; and
        of published weights that are complete, `preprocess` and `classes`, so that `striate.predict` takes it as it is.

    Raises:
        ArgumentError: for an unknown name or option, or an impossible number.
        ShapeError: for an image size the architecture can't take.
        CheckpointError: if the file can't be used, or does not fit the model.

    >>> network = striate.create("resnet20", classes=10, channels=3, image_size=32, seed=0)
    >>> network(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    >>> sum(parameter.numel() for parameter in network.parameters())
    269722
    """
    if called := renamed(options, _ARGUMENTS):
        raise ArgumentError(f"create('{name}', …): {called}.")
    name, chosen = parse(name)
    if twice := set(chosen) & set(options):
        raise ArgumentError(f"option {min(twice)} of {name} is given twice; leave one of them out.")
    chosen |= {key: option_value(name, key, value) for key, value in options.items()}
    if weights is not None:
        return _loaded(opened(name, weights), adapt, name, classes, channels, image_size, seed, chosen)
    if adapt:
        raise ArgumentError("adapt=True is about weights from a file: pass weights=.")
    return build(name, classes, channels, image_size, seed, chosen)


def opened(name: str, weights: str | Path, progress: Progress | None = None) -> WeightFile:
    """Read the weights for a model: a file, a run's folder, or with "imagenet" the published ones.

    Args:
        name: the model's, without options.
        weights: as in `create`.
        progress: called while published weights are downloaded.

    Raises:
        CheckpointError: if they can't be found or used.
    """
    if str(weights) != NAME:
        return read(weights)
    row, path = located(name, progress)
    return read(path, row)


def trained_input(name: str, weights: str | Path) -> Preprocess | None:
    """Return how images became the input that weights were trained with; `None` if unknown.

    Args:
        name: the model's, as for `create`.
        weights: as in `create`.

    Raises:
        CheckpointError: if they can't be found or used.

    >>> trained_input("efficientnet_lite0", "imagenet").height, trained_input("mlp", run.path).height
    (224, 8)
    """
    known = facts(name)
    return input_of(opened(known.name, weights), known.normalization, known.published_size)


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
    theirs = input_of(file, known.normalization, known.published_size)
    as_published = file.published is not None and classes is None and channels is None and image_size is None
    kept = file.header.get("architecture")
    if kept and kept["name"] == name:
        run = Architecture.from_dict(kept)
        classes = run.classes if classes is None else classes
        channels = run.channels if channels is None else channels
        image_size = run.image_size if image_size is None else image_size
        chosen = {**{key: option_value(name, key, value) for key, value in run.options.items()}, **chosen}
    elif theirs and image_size is None:
        image_size = theirs.height, theirs.width
    model = outlined(name, classes, channels, image_size, chosen)
    if "stem" in known.options and "stem" not in chosen:
        for stem in known.options["stem"].values:
            if not fits(model, file):
                with suppress(ShapeError):  # the image is too small for this stem
                    other = outlined(name, classes, channels, image_size, {**chosen, "stem": stem})
                    model = other if fits(other, file) else model
    if classes is None or channels is None:
        found = intended(model, file)
        classes, channels = classes or found[0], channels or found[1]
        model = outlined(name, classes, channels, image_size, vars(model)["architecture"].options)
    demand_fit(model, file, adapt)  # before memory is taken for what a file only claims
    model = build(name, classes, channels, image_size, seed, vars(model)["architecture"].options)
    notes = load(model, file, adapt)
    vars(model)["notes"] = (f"{file.published.source}.", *notes) if file.published else notes
    if as_published and classes == len(class_names()):
        vars(model).update(preprocess=theirs, classes=class_names())
    vars(model)["normalization"] = normalization(file, known.normalization, vars(model)["architecture"].channels)
    return model
