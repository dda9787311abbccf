"""Registry of the models by name: published facts, options, and construction with fresh weights."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from striate import seeding
from striate.errors import ArgumentError, ShapeError, unknown
from striate.layers import DEFAULT_FILTER, FILTERS
from striate.models.antialias import antialias
from striate.models.weights.adapt import PUBLISHED_SIZE
from striate.models.weights.pretrained import Normalization

SMALL = 64  # pixels; images with a shorter side get a model's small form unless another is asked for

Value = str | bool


class Outputs(NamedTuple):
    """Training output of a network with auxiliary classifiers; in evaluation mode it returns the logits only.

    Args:
        logits: (N, classes).
        auxiliary: the logits of each auxiliary classifier, (N, classes) each.
        weight: the weight of the loss of each auxiliary classifier; the main one has weight 1.

    >>> network = create("googlenet", image_size=64, channels=3).train()
    >>> outputs = network(torch.rand(2, 3, 64, 64))
    >>> outputs.logits.shape, len(outputs.auxiliary), outputs.weight
    (torch.Size([2, 10]), 2, 0.3)
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float


@dataclass(frozen=True)
class Option:
    """An option of a model.

    Args:
        values: the possible values; the first is the default.
        small: another default for images with a side below 64 pixels, if any.

    >>> stem = facts("resnet18").options["stem"]
    >>> stem.values, stem.default((32, 32)), stem.default((224, 224))
    (('imagenet', 'small'), 'small', 'imagenet')
    """

    values: tuple[Value, ...]
    small: Value | None = None

    def default(self, image_size: tuple[int, int]) -> Value:
        """Return the default value."""
        return self.small if self.small is not None and min(image_size) < SMALL else self.values[0]


@dataclass(frozen=True)
class Facts:
    """Published facts about a model, and the settings that training takes from them.

    Args:
        name: the name for `create`.
        title: a description in one line.
        source: paper or book, with year.
        loss: "cross-entropy", or "map", LeNet-5's discriminative criterion.
        image_size: the side the architecture was designed for, in pixels, if it does not follow the data.
        mean, std: the published normalisation (black is 0, full intensity 1), if it is not computed from the data.
        options: its options, by name.
        normalization: mean and standard deviation that its published weights expect, one value a channel.
        published_size: height and width in pixels of the images that its published weights were trained with.

    >>> facts("lenet5").loss, facts("lenet5").image_size
    ('map', 28)
    >>> facts("vgg16").published_size
    (224, 224)
    """

    name: str
    title: str
    source: str
    loss: Literal["cross-entropy", "map"] = "cross-entropy"
    image_size: int | None = None
    mean: float | None = None
    std: float | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    normalization: Normalization | None = None
    published_size: tuple[int, int] = PUBLISHED_SIZE


@dataclass(frozen=True)
class Architecture:
    """The arguments that reproduce a model; stored on it as `model.architecture` and in every run.

    `options` holds a value for every option of the model, defaults included.

    >>> create("resnet18", image_size=32).architecture.options["stem"]
    'small'
    >>> create("resnet18", image_size=224).architecture.options["stem"]
    'imagenet'
    """

    name: str
    classes: int
    channels: int
    image_size: tuple[int, int]
    options: dict[str, Value] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The name for `create`: the model's name and the options that differ from their defaults."""
        known = _MODELS[self.name][0].options if self.name in _MODELS else {}
        defaults = {key: option.default(self.image_size) for key, option in known.items()}
        return _text(self.name, {key: value for key, value in self.options.items() if value != defaults.get(key)})

    def make(self, seed: int | None = None) -> nn.Module:
        """Make the model with fresh weights."""
        name, _ = parse(self.name)
        chosen = {key: option_value(name, key, value) for key, value in self.options.items()}
        return build(name, self.classes, self.channels, self.image_size, seed, chosen)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "image_size": list(self.image_size)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Architecture":
        """The inverse of `to_dict`."""
        size = tuple(values["image_size"])
        return cls(values["name"], values["classes"], values["channels"], size, values.get("options", {}))


# The one option that every model has; True means the default filter.
ANTIALIAS = Option(("none", *FILTERS))
# Of models with a stem, first layers that shrink large images: "small" leaves small ones as large as they are.
STEM = Option(("imagenet", "small"), small="small")

Builder = Callable[..., nn.Module]
_MODELS: dict[str, tuple[Facts, Builder]] = {}


def register(facts: Facts) -> Callable[[Builder], Builder]:
    """Register a model: decorates a callable of (classes, channels, (height, width)) and its options by keyword."""

    def enter(builder: Builder) -> Builder:
        _MODELS[facts.name] = (facts, builder)
        return builder

    return enter


def names() -> list[str]:
    """Return the names of all models, sorted.

    >>> [name for name in names() if name.startswith("lenet")]
    ['lenet5', 'lenet5_modern']
    """
    return sorted(_MODELS)


def parse(text: str) -> tuple[str, dict[str, Value]]:
    """Parse a model's name and its options, from "name" or "name:option=value,option=value".

    Raises:
        ArgumentError: for an unknown name, option or value, naming those there are.

    >>> name, options = parse("resnet18:stem=imagenet")
    >>> name, options["stem"]
    ('resnet18', 'imagenet')
    """
    name, _, chosen = text.partition(":")
    if name not in _MODELS:
        raise unknown("model", name, _MODELS)
    pairs = (item.partition("=") for item in chosen.split(",") if item.strip())
    return name, {key.strip(): option_value(name, key.strip(), value.strip()) for key, _, value in pairs}


def facts(text: str) -> Facts:
    """Return the published facts about a model, named as for `create`.

    Raises:
        ArgumentError: naming the models there are, if this is none of them.

    >>> print(facts("alexnet").title)
    AlexNet on one tower, as the chapter draws it
    """
    return _MODELS[parse(text)[0]][0]


def build(
    name: str,
    classes: int | None,
    channels: int | None,
    image_size: int | tuple[int, int] | None,
    seed: int | None,
    chosen: dict[str, Value],
) -> nn.Module:
    """Make a model with fresh weights."""
    classes = 10 if classes is None else classes
    channels = 1 if channels is None else channels
    image_size = 28 if image_size is None else image_size
    size = (image_size, image_size) if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))
    if classes < 2:
        raise ArgumentError(f"classes={classes}: a classifier needs at least 2.")
    if channels < 1:
        raise ArgumentError(f"channels={channels}: an image has at least 1.")
    if min(size) < 1:
        raise ShapeError(f"image_size={image_size}: both sides must be at least 1 pixel.")
    known, builder = _MODELS[name]
    settled = {key: chosen.get(key, option.default(size)) for key, option in known.options.items()}
    with seeding.scoped(seed, "weights") if seed is not None else nullcontext():
        model = builder(classes, channels, size, **settled)
    vars(model).update(architecture=Architecture(name, classes, channels, size, settled), notes=(), normalization=None)
    filter = str(chosen.get("antialias", "none"))
    return model if filter == "none" else antialias(model, filter)


def _text(name: str, options: Mapping[str, Value]) -> str:
    return f"{name}:{','.join(f'{key}={str(value).lower()}' for key, value in options.items())}" if options else name


def option_value(model: str, key: str, given: Value) -> Value:
    """Return the option's value for `given`, which is one of the values or its text."""
    options = {**_MODELS[model][0].options, "antialias": ANTIALIAS}
    if key not in options:
        raise unknown(f"option of {model}", key, options)
    if key == "antialias" and str(given).lower() in ("true", "false"):
        return DEFAULT_FILTER if str(given).lower() == "true" else "none"
    values = options[key].values
    for value in values:
        if given == value or str(given).lower() == str(value).lower():
            return value
    raise ArgumentError(f"{model}:{key}={given}: choose one of {', '.join(str(value).lower() for value in values)}.")


def check_size(name: str, stem: str, image_size: tuple[int, int], smallest: dict[str, int]) -> None:
    """Raise unless the image is large enough that the poolings leave a pixel.

    Args:
        name: the model's.
        smallest: for each stem that has one, the shortest side in pixels that it can take.

    Raises:
        ShapeError: naming the smallest size and what to do.
    """
    least, side = smallest.get(stem, 1), min(image_size)
    if side < least:
        other = f"choose {name}:stem=small or " if stem != "small" and side >= smallest.get("small", 1) else ""
        raise ShapeError(
            f"{name} with stem={stem} needs images of at least {least}×{least} pixels, "
            f"got {image_size[0]}×{image_size[1]}: {other}pass a larger --image-size."
        )
