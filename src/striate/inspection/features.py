"""Features of layers: their outputs for images, and the images that excite a unit most."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import input_of, layer_at, module_of, named, taking
from striate.inspection.structure.trace import Call, trace
from striate.models import evaluating


@dataclass(frozen=True)
class Excitation:
    """Excitation of a unit by an image.

    Args:
        image: its position among those that were given.
        value: the unit's output; of a feature map, the largest.
        place: where on the feature map that is, (row, column); `None` for units of dense layers.

    >>> images = torch.tensor([1.0, 3.0, 2.0]).view(3, 1, 1, 1)
    >>> top_images(nn.Sequential(nn.Identity(), nn.ReLU()), images, "1", unit=0, k=1)
    [Excitation(image=1, value=3.0, place=(0, 0))]
    """

    image: int
    value: float
    place: tuple[int, int] | None


@contextmanager
def capture(model: nn.Module, *layers: str) -> Iterator[dict[str, Tensor]]:
    """Context that captures the outputs of these layers, by path, each time the model is called inside it.

    A copy is captured, so that an activation in place, or a sum, can't change it afterwards. Where gradients are
    recorded the network goes on with another copy of it, so that they can be taken with respect to the captured one. Of
    a layer that is called several times the last call counts.

    Raises:
        ArgumentError: naming the layers there are, if one of these is not among them.
    """
    made: dict[str, Tensor] = {}

    def hook(layer: str) -> Any:
        def catch(module: nn.Module, args: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            made[layer] = output.clone()
            return made[layer].clone() if output.requires_grad else None

        return catch

    handles = [layer_at(model, layer).register_forward_hook(hook(layer)) for layer in layers]
    try:
        yield made
    finally:
        for handle in handles:
            handle.remove()


def output_of(made: dict[str, Tensor], layer: str, model: nn.Module) -> Tensor:
    """The captured output of a layer.

    Raises:
        ArgumentError: if it was not called, or returned something else than a tensor.
    """
    if layer not in made:
        raise ArgumentError(
            f"layer '{layer}' of {type(model).__name__} returned no tensor: in evaluation mode it is not "
            "called, or it returns several."
        )
    return made[layer]


def feature_maps_of(made: dict[str, Tensor], layer: str, model: nn.Module, input_shape: tuple[int, int, int]) -> Tensor:
    """The captured feature maps of a layer: (N, channels, height, width).

    Raises:
        ArgumentError: as `output_of`, and if the layer's output has another shape, naming a layer with feature maps.
    """
    output = output_of(made, layer, model)
    if output.dim() != 4:
        raise ArgumentError(
            f"layer '{layer}' of {type(model).__name__} has no feature maps, its output is {tuple(output.shape)}: "
            f"choose one before it, for example '{last_feature_maps(model, input_shape)}'."
        )
    return output


def features(model: nn.Module, images: Tensor, layer: str, batch_size: int = 64) -> Tensor:
    """Compute the output of a layer for images, in evaluation mode.

    Args:
        model: any module.
        images: float (N, channels, height, width), normalised as the model expects; `Preprocess.normalize` does that.
        layer: its path, as in the table of `describe`; blocks of layers have one too.
        batch_size: how many images at a time.

    Returns:
        The layer's output for all images, (N, …), on the model's device. The model stays as it was.

    Raises:
        ArgumentError: if there is no such layer, naming those there are; or if it makes no tensor.
        ShapeError: if the model can't take such images.

    >>> network = striate.create("lenet5")
    >>> features(network, torch.zeros(2, 1, 28, 28), "c1").shape
    torch.Size([2, 6, 28, 28])
    """
    model = module_of(model)
    images = input_of(model, images)
    with evaluating(model), torch.no_grad(), capture(model, layer) as made:
        parts = []
        for chunk in images.split(batch_size):
            with taking(model, tuple(images.shape[1:])):
                model(chunk.clone())  # it may be written to
            parts.append(output_of(made, layer, model))
    return torch.cat(parts)


def top_images(model: nn.Module, images: Tensor, layer: str, unit: int, k: int = 9) -> list[Excitation]:
    """The images that excite a unit most, most exciting first.

    Args:
        model, images, layer: see `features`.
        unit: a channel of the layer, or a unit of a dense layer.
        k: how many at most.

    Raises:
        ArgumentError, ShapeError: as `features`, and for a unit that the layer has not.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False))
    >>> _ = network[1].weight.data.fill_(2.0)
    >>> images = torch.tensor([1.0, 3.0, 2.0]).view(3, 1, 1, 1)
    >>> [(each.image, each.value) for each in top_images(network, images, "1", unit=0, k=2)]
    [(1, 6.0), (2, 4.0)]
    """
    best: list[Excitation] = []
    for start, chunk in enumerate(images.split(64)):
        best += excitations(features(model, chunk, layer), unit, 64 * start)
        best = sorted(best, key=lambda each: -each.value)[:k]
    return best


def excitations(made: Tensor, unit: int, first: int = 0) -> list[Excitation]:
    """Excitations of a unit of a layer with the output `made`; images are counted from `first`."""
    if made.dim() not in (2, 4) or not 0 <= unit < made.shape[1]:
        units = f"{made.shape[1]} units, counted from 0" if made.dim() in (2, 4) else "no channels or units"
        raise ArgumentError(f"unit={unit}: the layer has {units}.")
    values, places = made[:, unit].flatten(1).max(dim=1) if made.dim() == 4 else (made[:, unit], None)
    where = [None] * len(values) if places is None else [divmod(place, made.shape[3]) for place in places.tolist()]
    return [
        Excitation(first + number, value, place)
        for number, (value, place) in enumerate(zip(values.tolist(), where, strict=True))
    ]


def last_feature_maps(model: nn.Module, input_shape: tuple[int, int, int]) -> str:
    """The last layer, or block of layers, whose output has feature maps of more than one pixel.

    Raises:
        ArgumentError: if there is none, as in a network without convolutions; it names the layers there are.
    """
    calls = trace(model, input_shape, every=True)
    found = [call.name for call in calls if call.name and has_feature_maps(call)]
    if not found:
        raise ArgumentError(
            f"{type(model).__name__} has no feature maps to lay over the image: no convolutions or poolings, "
            f"but {named([call.name for call in calls])}."
        )
    return found[-1]


def has_feature_maps(call: Call) -> bool:
    """Tell whether a call made feature maps whose units see more than their own pixel of the image."""
    grid = len(call.output_shape) == 4 and call.output_shape[2] * call.output_shape[3] > 1
    return grid and (call.field is None or call.field.size != (1, 1))


def last_weighted(model: nn.Module, input_shape: tuple[int, int, int]) -> str:
    """The layer that makes the logits; its input is the network's embedding of an image.

    Raises:
        ArgumentError: if no layer has weights.
    """
    found = [
        call.name
        for call in trace(model, input_shape)
        if call.name
        and (any(True for _ in call.module.parameters()) or isinstance(call.module, layer_kinds.FEATURES_LAST))
    ]
    if not found:
        raise ArgumentError(f"{type(model).__name__} has no layer with weights.")
    return found[-1]
