"""The part of its receptive field that a unit really listens to."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.inspection.features import capture, last_maps, output_of
from striate.inspection.subject import input_of, module_of, taking
from striate.models import evaluating


@dataclass(frozen=True)
class EffectiveField:
    """How much each pixel moves a layer's units at one place.

    Args:
        layer: the layer's path.
        unit: the place, (row, column).
        influence: float64 (height, width) that sums to 1, or zeros where nothing moves them.
    """

    layer: str
    unit: tuple[int, int]
    influence: Tensor

    def pixels(self, share: float) -> int:
        """How many pixels hold this share, in [0, 1], of all influence, the most influential taken first."""
        sums = self.influence.flatten().sort(descending=True).values.cumsum(0)
        return 0 if not float(sums[-1]) else min(int((sums < share - 1e-9).sum()) + 1, len(sums))


def effective_field(
    model: nn.Module, images: Tensor, layer: str, unit: tuple[int, int] | None = None, batch_size: int = 16
) -> EffectiveField:
    """Measure what a layer's units at one place listen to: the mean over images of the gradient's absolute value.

    Source: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", 2016: the
    gradient of the central unit, of all maps together, with respect to the input.

    Args:
        model: any module.
        images: float (N, channels, height, width), normalised as the model expects.
        layer: its path.
        unit: row and column; the middle of the maps if not given.
        batch_size: how many images at a time.

    Raises:
        ArgumentError: for a layer that does not exist or has no maps, and for a unit outside of them.
        ShapeError: if the model can't take such images.
    """
    model, images = module_of(model), input_of(module_of(model), images)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    total = torch.zeros(images.shape[2:], dtype=torch.float64)
    with evaluating(model), torch.enable_grad(), capture(model, layer) as made:
        for chunk in images.split(batch_size):
            chunk = chunk.clone().requires_grad_()
            with taking(model, shape):
                model(chunk.clone())  # it may be written to
            maps = output_of(made, layer, model)
            if maps.dim() != 4:
                raise ArgumentError(
                    f"layer '{layer}' of {type(model).__name__} has no maps, its output is {tuple(maps.shape)}: "
                    f"choose one before it, for example '{last_maps(model, shape)}'."
                )
            row, column = unit or (maps.shape[2] // 2, maps.shape[3] // 2)
            if not (0 <= row < maps.shape[2] and 0 <= column < maps.shape[3]):
                raise ArgumentError(f"unit={unit}: the maps of layer '{layer}' are {maps.shape[2]}×{maps.shape[3]}.")
            (gradient,) = torch.autograd.grad(maps[:, :, row, column].sum(), chunk)
            total += gradient.abs().sum((0, 1)).double().cpu()
    return EffectiveField(layer, (row, column), total / total.sum() if float(total.sum()) else total)
