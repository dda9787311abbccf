"""Evidence about images for pages: attributions with random-weight checks, feature maps, and fields of units.

`stages` chooses the layers that a page shows. Attributions are compared with those of a network with random weights,
the sanity check of Adebayo et al. (2018).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.inspection.attribution import grad_cam, integrated_gradients, randomised, rank_correlation
from striate.inspection.extent.field import Field
from striate.inspection.features import features, has_feature_maps, last_feature_maps
from striate.inspection.receptive_fields import EffectiveField, effective_field
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.trace import Call, layers_of, trace

MOST_LAYERS = 20  # layers that a page shows
FEWEST_LAYERS = 4  # below this, layers inside of the blocks are shown
STEPS = 32  # on the path of integrated gradients
MOST_FEATURE_MAPS = 12  # of a layer
MOST_FIELDS = 6
SIMILAR = 0.7  # a correlation above which an attribution hardly depends on what was learned


def stages(model: nn.Module, input_shape: tuple[int, int, int], *, dense: bool = False) -> list[Call]:
    """Choose the layers to show: those with feature maps, in order, and with `dense` those of single values, too.

    A layer whose output a normalisation or activation then changes is left out. Of a network with many layers its
    blocks are shown instead, as deep down as `MOST_LAYERS` allows; where it has no blocks, every n-th layer is taken.
    """
    calls = {call.name: call for call in trace(model, input_shape, every=True) if call.name and not call.unchanged}
    leaves = {name for name, _ in layers_of(model)}
    depths = range(1, 1 + max((name.count(".") + 1 for name in calls), default=0))
    cuts = [_settled([call for name, call in calls.items() if _in_cut(name, depth, leaves)], dense) for depth in depths]
    fitting = [cut for cut in cuts if len(cut) <= MOST_LAYERS]
    best = max(fitting, key=len, default=[])
    larger = [cut for cut in cuts if len(cut) > MOST_LAYERS]
    if len(best) < FEWEST_LAYERS and larger:
        first = larger[0]
        best = [first[number * (len(first) - 1) // (MOST_LAYERS - 1)] for number in range(MOST_LAYERS)]
    return best


def _in_cut(name: str, depth: int, leaves: set[str]) -> bool:
    """Tell whether a module is shown if the network is cut at this depth of nesting."""
    deep = name.count(".") + 1
    return deep == depth or (deep < depth and name in leaves)


def _settled(calls: list[Call], dense: bool) -> list[Call]:
    """The calls with feature maps, or values, that the next call does not merely change value by value."""
    following = [*calls[1:], None]
    return [
        call
        for call, after in zip(calls, following, strict=True)
        if (has_feature_maps(call) or (dense and _has_values(call)))
        and not (after is not None and after.output_shape == call.output_shape and _merely_changes(after.module))
    ]


def _has_values(call: Call) -> bool:
    """Tell whether a call made one value a unit, and did not merely put others in a row."""
    return math.prod(call.output_shape[2:]) == 1 < len(call.output_shape) and not isinstance(call.module, nn.Flatten)


def _merely_changes(module: nn.Module) -> bool:
    return bool(layer_kinds.activation(module) or layer_kinds.dropout(module)) or isinstance(module, layer_kinds.NORMS)


@dataclass(frozen=True)
class Attribution:
    """An attribution of a class's logit to pixels, with its random-weight check.

    Args:
        values: (height, width) of the trained network.
        untrained: the same of a copy with weights drawn anew.
        correlation: how alike the two rank the pixels, in [−1, 1]; `None` where one of them is empty.
    """

    values: Tensor
    untrained: Tensor
    correlation: float | None


@dataclass(frozen=True)
class FeatureMaps:
    """The strongest feature maps of a layer for an image, (channels, height, width), and their channel numbers."""

    call: Call
    kind: str
    strongest: Tensor
    channels: list[int]


@dataclass(frozen=True)
class UnitFields:
    """Receptive field of a layer's central units, theoretical and effective."""

    field: Field
    effective: EffectiveField

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """The theoretical field: first row, first column, first row after, first column after."""
        return self.field.of(*self.effective.unit)

    @property
    def inside(self) -> int:
        """Number of pixels of the image inside the theoretical field."""
        top, left, bottom, right = self.frame
        height, width = self.field.image
        return (min(bottom, height) - max(top, 0)) * (min(right, width) - max(left, 0))


def grad_cams(model: nn.Module, images: Tensor, targets: Tensor, layer: str) -> list[Attribution]:
    """Compute Grad-CAM of each image's class, int64 (N,), at a layer."""
    return _checked(*(grad_cam(each, images, targets, layer) for each in (model, randomised(model))))


def pixel_attributions(model: nn.Module, images: Tensor, targets: Tensor, baseline: Tensor) -> list[Attribution]:
    """Compute integrated gradients of each image's class, int64 (N,), summed over the channels of a pixel."""
    networks = (model, randomised(model))
    return _checked(*(integrated_gradients(each, images, targets, baseline, STEPS).sum(1) for each in networks))


def logit_difference(model: nn.Module, image: Tensor, target: int, baseline: Tensor) -> float:
    """Difference of a class's logit between an image and a baseline, (1, channels, height, width) both."""
    with torch.no_grad():
        logits = model(torch.cat([image, baseline]))[:, target]
    return float(logits[0] - logits[1])


def _checked(learned: Tensor, untrained: Tensor) -> list[Attribution]:
    correlations = rank_correlation(learned, untrained).tolist()
    return [
        Attribution(trained, random, None if math.isnan(correlation) else correlation)
        for trained, random, correlation in zip(learned, untrained, correlations, strict=True)
    ]


def feature_maps(model: nn.Module, image: Tensor, stages: list[Call]) -> list[FeatureMaps]:
    """The strongest feature maps of each of these layers, by the mean of their absolute values."""
    found = []
    for call in stages:
        made = features(model, image, call.name)[0]
        order = made.abs().mean((1, 2)).sort(descending=True, stable=True).indices[:MOST_FEATURE_MAPS]
        found.append(FeatureMaps(call, layer_kinds.kind(call.module), made[order], order.tolist()))
    return found


def unit_fields(model: nn.Module, images: Tensor, stages: list[Call]) -> list[tuple[str, UnitFields]]:
    """Fields of some evenly chosen layers: theoretical, from their windows, and effective, measured on `images`."""
    grid = [call for call in stages if call.field is not None and all(call.field.stride)]
    count = min(len(grid), MOST_FIELDS)
    chosen = [grid[number * (len(grid) - 1) // max(count - 1, 1)] for number in range(count)]
    return [
        (call.name, UnitFields(call.field, effective_field(model, images, call.name)))
        for call in chosen
        if call.field is not None
    ]


def strongest_units(model: nn.Module, image: Tensor, layer: str) -> list[int]:
    """The units of a layer, ordered by how much an image, (1, channels, height, width), excites them."""
    made = features(model, image, layer)[0]
    excited = made.flatten(1).amax(1) if made.dim() == 3 else made
    return excited.sort(descending=True, stable=True).indices.tolist()


def last_layer(model: nn.Module, input_shape: tuple[int, int, int]) -> tuple[str | None, str | None]:
    """The last layer with feature maps, or the reason why there is none."""
    try:
        return last_feature_maps(model, input_shape), None
    except ArgumentError as error:
        return None, str(error)
