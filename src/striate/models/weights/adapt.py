"""Adaptation of a file's weights to a model: channels, classes and auxiliary classifiers; misfits."""

from torch import Tensor, nn

from striate.errors import CheckpointError
from striate.layers import RBFOutput
from striate.models.weights.file import WeightFile
from striate.models.weights.names import Found, few, find
from striate.models.weights.pretrained import Normalization
from striate.preprocess import Preprocess

PUBLISHED_SIZE = (224, 224)  # the images of torchvision's training
PUBLISHED_CROP = 0.875  # the share of the shorter side that it keeps in evaluation

COUNT = ".num_batches_tracked"  # of batch normalisation; old files lack it, and nothing reads it
AUXILIARY = ("aux1", "aux2")  # torchvision's names of the classifiers that GoogLeNet has for training only


def fits(model: nn.Module, file: WeightFile) -> bool:
    """Return whether the file's weights can be loaded, adapted if necessary; only shapes are compared."""
    return not misfits(model, adapted(model, find(model, file.tensors), adapt=True)[0])


def intended(model: nn.Module, file: WeightFile) -> tuple[int | None, int | None]:
    """Return the classes and channels of the file's weights, found by a model of their kind; `None` if unknown."""
    tensors = find(model, file.tensors).tensors
    last = [name for name in _ends(model) if name.split(".")[0] not in AUXILIARY]
    rows = [value.shape[0] for name in last for key, value in tensors.items() if key.startswith(f"{name}.")]
    first = tensors.get(f"{_first(model)}.weight")
    return (rows[0] if rows else None), (first.shape[1] if first is not None and first.ndim == 4 else None)


def normalization(file: WeightFile, published: Normalization | None, channels: int) -> Normalization | None:
    """Return the normalisation of images for these weights.

    Args:
        file: a file of one of Striate's runs contains it; of a published file it is known.
        published: the normalisation for all other files.
        channels: of the model. One channel gets the average of three; there is no better value, because the weights of
            the three are summed. Three channels all get the value of a single one.

    Returns:
        Mean and standard deviation in units where black is 0 and full intensity 1; `None` where it is not known.
    """
    kept = file.header.get("preprocess")
    if kept:
        published = tuple(kept["mean"]), tuple(kept["std"])
    elif file.published:
        published = file.published.normalization
    mean, std = published or ((), ())
    return (_spread(mean, channels), _spread(std, channels)) if mean else None


def input_of(file: WeightFile, published: Normalization | None, size: tuple[int, int]) -> Preprocess | None:
    """Return how images became the input that weights were trained with; `None` if unknown.

    Args:
        file: a file of one of Striate's runs contains it; of a published file it is known.
        published: the model's published normalisation, for all other files.
        size: height and width of the images of its published training.

    Raises:
        CheckpointError: if the file's own preprocessing is damaged.
    """
    if kept := file.header.get("preprocess"):
        try:
            return Preprocess.from_dict(kept)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file.path} is damaged: its preprocessing can't be read ({error}).") from error
    if file.published:
        return file.published.preprocess
    return Preprocess(*size, 3, "crop", *published, PUBLISHED_CROP) if published else None


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def adapted(model: nn.Module, found: Found, adapt: bool) -> tuple[dict[str, Tensor], list[str]]:
    """Adapt a file's tensors to the model as far as possible; returns them with a sentence on each change."""
    own, tensors, notes = model.state_dict(), dict(found.tensors), list(found.notes)
    tensors |= {name: own[name] for name in own if name.endswith(COUNT) and name not in tensors}
    for head in AUXILIARY:
        here, there = ({name for name in each if name.startswith(f"{head}.")} for each in (own, tensors))
        if there and not here:
            tensors = {name: tensor for name, tensor in tensors.items() if name not in there}
            notes.append(f"The auxiliary classifier {head} of the file was left out: the model has none.")
        elif here and not there and adapt:
            tensors |= {name: own[name] for name in here}
            notes.append(f"The auxiliary classifier {head} has fresh weights: the file has none.")
    if adapt:
        notes += [*_adapt_channels(model, own, tensors), *_adapt_classes(model, own, tensors)]
    return tensors, notes


def _adapt_channels(model: nn.Module, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> list[str]:
    first = _first(model)
    key = f"{first}.weight"
    if key not in tensors or tensors[key].ndim != 4:
        return []
    there, here = tensors[key].shape, own[key].shape
    if there[1] == here[1] or 1 not in (there[1], here[1]) or (there[0], *there[2:]) != (here[0], *here[2:]):
        return []
    tensors[key] = tensors[key].sum(dim=1, keepdim=True).div(here[1]).expand(here)
    if here[1] == 1:
        return [f"The first convolution, {first}, takes grey images: its weights were summed over {there[1]} channels."]
    return [f"The first convolution, {first}, takes {here[1]} channels: each has 1/{here[1]} of the grey weights."]


def _adapt_classes(model: nn.Module, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> list[str]:
    notes = []
    for name, module in _ends(model).items():
        keys = [f"{name}.{key}".removeprefix(".") for key in module.state_dict()]
        there = [tuple(tensors[key].shape) for key in keys if key in tensors]
        here = [tuple(own[key].shape) for key in keys]
        if there != here and [shape[1:] for shape in there] == [shape[1:] for shape in here]:
            tensors |= {key: own[key] for key in keys}
            notes.append(
                f"The last layer, {name}, has fresh weights: the file is for {there[0][0]:,} classes, "
                f"the model for {here[0][0]:,}."
            )
        elif not there and all(key in tensors for key in own.keys() - set(keys)) and len(own) > len(keys):
            notes.append(_without_head(name, own, tensors))
            tensors |= {key: own[key] for key in keys}
    return notes


def _without_head(name: str, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> str:
    """Leave out what stands in a file in place of the last layer; returns a sentence on it."""
    layers = {key.split(".")[0] for key in own} - {name.split(".")[0]}
    other = [key for key in tensors if key not in own and key.split(".")[0] not in layers]
    for key in other:
        del tensors[key]
    instead = f" but {few(sorted({key.rpartition('.')[0] or key for key in other}))}, left out" if other else ""
    return f"The last layer, {name}, has fresh weights: the file has none{instead}."


def _first(model: nn.Module) -> str | None:
    """Return the name of the first convolution."""
    return next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), None)


def _ends(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that output classes: the last one of the network, and of each auxiliary classifier."""
    ends: dict[str, tuple[str, nn.Module]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | RBFOutput):
            part = name.split(".")[0]
            ends[part if part in AUXILIARY else ""] = (name, module)
    return dict(ends.values())


def misfits(model: nn.Module, tensors: dict[str, Tensor]) -> str:
    """List everything that prevents loading the tensors; empty if nothing does."""
    own = model.state_dict()
    shapes = [
        f"{name} is {tuple(tensors[name].shape)} and should be {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    kinds = [
        f"{name} is {tensors[name].dtype} and should be {own[name].dtype}".replace("torch.", "")
        for name in own
        if name in tensors
        and own[name].is_floating_point() != tensors[name].is_floating_point()
        and not name.endswith(COUNT)
    ]
    parts = (
        ("missing", [name for name in own if name not in tensors]),
        ("surplus", [name for name in tensors if name not in own]),
        ("of another shape", shapes),
        ("of another kind", kinds),
    )
    return "; ".join(f"{what}: {len(which)} ({few(which)})" for what, which in parts if which)
