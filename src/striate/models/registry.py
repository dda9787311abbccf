"""The models by name: what each is, and how one is made."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from striate import seeding
from striate.errors import ArgumentError, ShapeError, unknown


@dataclass(frozen=True)
class Facts:
    """What is published about a model, and what training it needs to know.

    Args:
        name: what `create` takes.
        title: one line for people.
        source: paper or book, with year.
        loss: "cross-entropy", or "map", LeNet-5's discriminative criterion.
        image_size: the side the architecture was drawn for, in pixels, if it does not follow the data.
        mean, std: the published normalisation (black is 0, full intensity 1), if it is not computed from the data.
    """

    name: str
    title: str
    source: str
    loss: Literal["cross-entropy", "map"] = "cross-entropy"
    image_size: int | None = None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class Architecture:
    """The arguments that make a model again; kept on the model as `model.architecture` and in every run."""

    name: str
    classes: int
    channels: int
    image_size: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Architecture":
        """The inverse of `to_dict`."""
        return cls(values["name"], values["classes"], values["channels"], tuple(values["image_size"]))


Builder = Callable[[int, int, tuple[int, int]], nn.Module]
_MODELS: dict[str, tuple[Facts, Builder]] = {}


def register(facts: Facts) -> Callable[[Builder], Builder]:
    """Enter a model: decorates a function or class called with (classes, channels, (height, width))."""

    def enter(builder: Builder) -> Builder:
        _MODELS[facts.name] = (facts, builder)
        return builder

    return enter


def names() -> list[str]:
    """The names that `create` takes, sorted."""
    return sorted(_MODELS)


def facts(name: str) -> Facts:
    """What is published about a model.

    Raises:
        ArgumentError: naming the models there are, if this is none of them.
    """
    if name not in _MODELS:
        raise unknown("model", name, _MODELS)
    return _MODELS[name][0]


def create(
    name: str,
    classes: int = 10,
    channels: int = 1,
    image_size: int | tuple[int, int] = 28,
    seed: int | None = None,
) -> nn.Module:
    """Make a model with fresh weights.

    Args:
        name: one of `names()`.
        classes: how many classes it tells apart, at least 2.
        channels: 1 for grey images, 3 for colour.
        image_size: height and width of its input in pixels; one number means a square.
        seed: makes the weights reproducible; without it they come from PyTorch's default generator.

    Returns:
        A module from float32 (N, channels, height, width) to logits (N, classes), with `model.architecture` set.

    Raises:
        ArgumentError: for an unknown name or an impossible number.
        ShapeError: for an image size the architecture can't take.
    """
    facts(name)
    size = (image_size, image_size) if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))
    if classes < 2:
        raise ArgumentError(f"classes={classes}: a classifier needs at least 2.")
    if channels < 1:
        raise ArgumentError(f"channels={channels}: an image has at least 1.")
    if min(size) < 1:
        raise ShapeError(f"image_size={image_size}: both sides must be at least 1 pixel.")
    build = _MODELS[name][1]
    if seed is None:
        model = build(classes, channels, size)
    else:
        with seeding.scoped(seed, "weights"):
            model = build(classes, channels, size)
    model.architecture = Architecture(name, classes, channels, size)  # type: ignore[assignment]
    return model
