"""Receptive fields of layers: theoretical, from the operations, and effective, from gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.inspection.extent.field import Field
from striate.inspection.features import capture, feature_maps_of
from striate.inspection.structure.inputs import input_of, input_shape_of, module_of, taking
from striate.inspection.structure.trace import trace
from striate.models import evaluating
from striate.runs import Run
from striate.units import by


def receptive_fields(
    model: nn.Module | Run, input_shape: tuple[int, int, int] | None = None
) -> dict[str, Field | None]:
    """Compute the receptive field of every layer: exactly, through all branches, for any module.

    One image of zeros goes through, and below the modules every operation is followed and its output's cells get the
    rectangles of pixels that they depend on: windows widen them, sums and concatenations unite them.

    Args:
        model: any module, or a run, of whose model a new instance is made.
        input_shape: channels, height, width; known for models that Striate made.

    Returns:
        The field of each module that is called, the containers included, by its path and in the order in which they
        end; of one that is called several times the last. `None` behind an operation whose dependencies are unknown.
        The model stays as it was.

    Raises:
        ArgumentError, ShapeError: as `describe`.

    >>> fields = receptive_fields(nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.MaxPool2d(2)), (1, 28, 28))
    >>> fields["1"].size, fields["1"].stride, fields["1"].start, fields["1"].centre
    ((6, 6), (2, 2), (-2, -2), (0.5, 0.5))
    """
    module = module_of(model)
    fields: dict[str, Field | None] = {}
    for call in trace(module, input_shape_of(module, input_shape), every=True):
        fields.pop(call.name, None)  # so that the order is that of the last calls
        fields[call.name] = call.field
    return fields


@dataclass(frozen=True)
class EffectiveField:
    """Effective receptive field: the influence of each pixel on a layer's units at one place.

    Args:
        layer: the layer's path.
        unit: the place, (row, column).
        influence: float64 (height, width) that sums to 1, or zeros where nothing moves them.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    >>> field = effective_field(network, torch.rand(2, 1, 9, 9), "0")
    >>> field.unit, (field.influence > 0).sum().item()
    ((4, 4), 9)
    """

    layer: str
    unit: tuple[int, int]
    influence: Tensor

    def pixels(self, share: float) -> int:
        """Number of pixels that hold this share, in [0, 1], of all influence, the most influential first."""
        sums = self.influence.flatten().sort(descending=True).values.cumsum(0)
        return 0 if not float(sums[-1]) else min(int((sums < share - 1e-9).sum()) + 1, len(sums))


def effective_field(
    model: nn.Module, images: Tensor, layer: str, unit: tuple[int, int] | None = None, batch_size: int = 16
) -> EffectiveField:
    """Measure the effective receptive field of a layer's units at one place, by mean absolute gradients.

    Source: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", 2016: the
    gradient of the central unit, summed over all channels, with respect to the input.

    Args:
        model: any module.
        images: float (N, channels, height, width), normalised as the model expects.
        layer: its path.
        unit: row and column; the middle of the feature maps if not given.
        batch_size: how many images at a time.

    Raises:
        ArgumentError: for a layer that does not exist or has no feature maps, and for a unit outside of them.
        ShapeError: if the model can't take such images.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    >>> field = effective_field(network, torch.rand(2, 1, 9, 9), "1", unit=(0, 0))
    >>> (field.influence > 0).nonzero().max().item(), round(field.influence.sum().item(), 6)
    (4, 1.0)
    """
    model, images = module_of(model), input_of(module_of(model), images)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    with evaluating(model), torch.enable_grad(), capture(model, layer) as made:
        for chunk in images.split(batch_size):
            chunk = chunk.clone().requires_grad_()
            with taking(model, shape):
                model(chunk.clone())  # it may be written to
            feature_maps = feature_maps_of(made, layer, model, shape)
            row, column = unit or (feature_maps.shape[2] // 2, feature_maps.shape[3] // 2)
            if not (0 <= row < feature_maps.shape[2] and 0 <= column < feature_maps.shape[3]):
                size = by(tuple(feature_maps.shape[2:]))
                raise ArgumentError(f"unit={unit}: the feature maps of layer '{layer}' are {size}.")
            (gradient,) = torch.autograd.grad(feature_maps[:, :, row, column].sum(), chunk)
            total += gradient.abs().sum((0, 1)).double().cpu()
    return EffectiveField(layer, (row, column), total / total.sum() if float(total.sum()) else total)
