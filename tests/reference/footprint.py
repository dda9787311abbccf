"""Which pixels a unit depends on, measured: those at which the gradient of its value is not zero.

Every weight is made positive and every maximum a mean over the same window, so that all paths from a pixel to a unit
add up and none is shut or cancelled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Reached(Exception):  # noqa: N818
    """The forward pass has come as far as it needs to."""


def _mean_instead(x: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    assert dilation in (1, (1, 1))
    assert not return_indices
    return F.avg_pool2d(x, kernel_size, stride or kernel_size, padding, ceil_mode)


@contextmanager
def open_paths() -> Iterator[None]:
    """Maxima are means."""
    with mock.patch("torch.nn.functional.max_pool2d", _mean_instead):
        yield


def positive(model: nn.Module) -> nn.Module:
    """`model`, which may be on the meta device, with every unit the mean of its inputs; it can't be trained then."""
    for module in model.modules():
        module.to_empty(device="cpu", recurse=False)
        for name, weight in module.named_parameters(recurse=False):
            one_each = weight.dim() == 1 and name == "weight"  # normalisations and subsampling
            value = 0.0 if name == "bias" else 1.0 if one_each else 1.0 / max(weight[0].numel(), 1)
            nn.init.constant_(weight.detach(), value)
        for name, buffer in module.named_buffers(recurse=False):
            buffer.fill_(1.0 if name == "running_var" else 0.0)
    return model.eval().requires_grad_(False)


def outputs(model: nn.Module, shape: tuple[int, int, int], layers: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """One image of ones, and what it makes of the layers; nothing behind the last of them is computed."""
    image = torch.ones(1, *shape, requires_grad=True)
    made: dict[str, Tensor] = {}

    def hook(name: str):
        def note(module: nn.Module, args: object, output: Tensor) -> None:
            made[name] = output
            if name == layers[-1]:
                raise Reached

        return note

    handles = [model.get_submodule(name).register_forward_hook(hook(name)) for name in layers]
    try:
        with open_paths():
            model(image)
    except Reached:
        pass
    for handle in handles:
        handle.remove()
    return image, made


def footprint(image: Tensor, made: Tensor, *unit: int) -> tuple[int, int, int, int] | None:
    """First row, first column, first row after and first column after of what the unit at (row, column) sees.

    `None` for a unit that sees padding only.
    """
    value = made[(0, slice(None), *unit)].sum()
    (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
    rows, columns = (gradient[0].abs().sum(0).sum(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
