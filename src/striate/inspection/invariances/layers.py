"""Shift equivariance and invariance of each layer, and the share of values that gets through it.

Zhang (ICML 2019, section 3.1) calls a layer equivariant if its feature map of the shifted image is the shifted feature
map of the image, and invariant if it is the feature map itself. Distances are relative to those between two different
images, so that 0 is perfect and 1 no likeness at all. They leave out the edge of feature maps that are large enough,
where the content changes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate import seeding
from striate.inspection.invariances.perturbations import circular, offsets
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.trace import layers_of

MOST_IMAGES = 128  # that layers are compared on
BATCH, PIXELS = 32, 2**18  # images at once, and pixels: all feature maps of a batch are kept
PROBED = 8  # images whose values are followed through each layer
GROWTH = 64  # pixels by which an image grows to show a layer's stride


@dataclass(frozen=True)
class LayerShift:
    """Equivariance and invariance of one layer call under circular shifts of the image.

    Args:
        layer: the module's path.
        type: the textbook's name.
        channels: channels or units of its output.
        size: height and width of its feature maps; `None` where there are none.
        stride: pixels of the image from one cell to the next, down and to the right; `None` where cells have no place.
        equivariance: the distance between the feature map of the shifted image and the shifted feature map; `None`
            without a place.
        invariance: the distance between the feature maps of the shifted image and of the image.
        kept: number of output values for each input value.
        reached: share of the input values that its output depends on; `None` where it takes several tensors.

    >>> layer = striate.invariance(run, data.test.images[:20]).layers[-1]
    >>> layer.channels, layer.size, layer.reached
    (10, None, 1.0)
    """

    layer: str
    type: str
    channels: int
    size: tuple[int, int] | None
    stride: tuple[float, float] | None
    equivariance: float | None
    invariance: float | None
    kept: float
    reached: float | None


@dataclass(frozen=True)
class _Call:
    """Input, if it was asked for, and output of a layer call: copies, as a later layer may write there."""

    name: str
    module: nn.Module
    taken: tuple[Tensor, ...]
    made: Tensor


def layer_shifts(
    model: nn.Module, inputs: Callable[[Tensor], Tensor], images: Tensor, greatest: int, seed: int
) -> tuple[LayerShift, ...]:
    """Measure equivariance and invariance of every layer of a network.

    Args:
        model: the network, in evaluation mode.
        inputs: from images to what the network takes.
        images: uint8 (N, H, W, C), two or more; the first 128 are used.
        greatest: each shift is drawn from 0 … this many pixels down and right.
        seed: what shifts are drawn from.

    Returns:
        One row for each call of a layer, in the order they end.
    """
    images = images[:MOST_IMAGES]
    batch = max(1, min(BATCH, PIXELS // images[0, ..., 0].numel()))
    probes = _calls(model, inputs(images[: min(PROBED, batch)]), taken=True)
    strides = _strides(model, inputs(images[:1]), len(probes))
    sums = torch.zeros(len(probes), 3, dtype=torch.float64)  # equivariance, invariance, another image
    for start in range(0, len(images), batch):
        index = np.arange(start, min(start + batch, len(images)))
        here = images[start : start + batch]
        by, _ = offsets(seed, greatest, index)
        other = images[(torch.from_numpy(index) + 1) % len(images)]
        runs = [_calls(model, inputs(each)) for each in (here, circular(here, by, greatest), other)]
        for row, (plain, moved, different) in enumerate(zip(*runs, strict=True)):
            sums[row] += _distances(plain.made, moved.made, different.made, by, strides[row], greatest)
    return tuple(_row(*each) for each in zip(probes, strides, sums.sqrt().tolist(), strict=True))


def _row(call: _Call, stride: tuple[float, float] | None, distances: Sequence[float]) -> LayerShift:
    follows, stays, apart = distances
    has_maps = call.made.ndim == 4
    return LayerShift(
        layer=call.name,
        type=layer_kinds.activation(call.module) or layer_kinds.kind(call.module),
        channels=call.made.shape[1] if call.made.ndim > 1 else 1,
        size=(call.made.shape[2], call.made.shape[3]) if has_maps else None,
        stride=stride,
        equivariance=follows / apart if stride and apart else None,
        invariance=stays / apart if apart else None,
        kept=call.made.numel() / max(1, sum(each.numel() for each in call.taken)),
        reached=_reached(call),
    )


def _distances(
    plain: Tensor, moved: Tensor, other: Tensor, by: Tensor, stride: tuple[float, float] | None, greatest: int
) -> Tensor:
    """Squared distances, summed over the batch: to the shifted feature map, to the feature map, to another image's."""
    plain, moved, other = plain.double(), moved.double(), other.double()
    differences = [moved - moved, moved - plain, other - plain]
    if stride is not None:
        cells = by.double() / torch.tensor(stride, dtype=torch.float64)
        differences[0] = moved - shifted_map(plain, cells.to(plain.device))
        inside = tuple(_inside(n, step, greatest) for n, step in zip(plain.shape[2:], stride, strict=True))
        differences = [each[:, :, inside[0], inside[1]] for each in differences]
    return torch.stack([each.square().sum().cpu() for each in differences])


def _inside(cells: int, stride: float, greatest: int) -> slice:
    """The cells that wrapped-around content does not reach by the move alone; all, if few would be left."""
    margin = math.ceil(greatest / stride) + 1
    return slice(margin, cells - margin) if cells > 2 * margin + 1 else slice(None)


def shifted_map(maps: Tensor, by: Tensor) -> Tensor:
    """Shift each image's feature maps around their edge by a number of cells that need not be whole.

    Between cells the value is that of the trigonometric polynomial through them, which a map without aliasing has.

    Args:
        maps: floating (N, C, h, w).
        by: floating (N, 2), cells down and to the right.
    """
    height, width = maps.shape[-2:]
    rows = torch.fft.fftfreq(height, device=maps.device, dtype=maps.dtype)
    columns = torch.fft.rfftfreq(width, device=maps.device, dtype=maps.dtype)
    turns = by[:, :1, None] * rows[None, :, None] + by[:, 1:, None] * columns[None, None, :]  # (N, h, w // 2 + 1)
    spectrum = torch.fft.rfft2(maps) * torch.exp(-2j * math.pi * turns)[:, None]
    return torch.fft.irfft2(spectrum, s=(height, width))


def _reached(call: _Call) -> float | None:
    """Share of a layer's input values with respect to which a random sum of its outputs has a derivative."""
    if len(call.taken) != 1 or not call.taken[0].is_floating_point():
        return None
    taken = call.taken[0].requires_grad_()
    with torch.enable_grad():
        made = call.module(taken.clone())  # of which it may make its output in place
    if not isinstance(made, Tensor) or not made.requires_grad:
        return None
    weights = torch.randn(made.shape, generator=seeding.generator(0, "probe")).to(made)
    (slope,) = torch.autograd.grad(made, taken, weights)
    return float((slope != 0).double().mean())


def _strides(model: nn.Module, inputs: Tensor, calls: int) -> list[tuple[float, float] | None]:
    """Pixels from one cell to the next, of each call: the image's growth over that of the feature maps.

    Receptive fields give it too, but not where borders wrap around, which are what circular shifts are for.
    """
    sizes = []
    for more in (0, GROWTH):
        grown = nn.functional.pad(inputs, (0, more, 0, more))
        with _recording(model) as record, torch.no_grad():
            try:
                model(grown)
            except Exception:  # a dense layer that wants one size only: the layers before it have been seen
                if not more:
                    raise
        sizes.append([call.made.shape[2:] if call.made.ndim == 4 else (1, 1) for call in record])
    pairs = list(zip(*sizes, strict=False))
    found: list[tuple[float, float] | None] = []
    for small, large in pairs:
        grows = [after - before for before, after in zip(small, large, strict=True)]
        place = min(grows) > 0 and max(small) > 1
        found.append((GROWTH / grows[0], GROWTH / grows[1]) if place else None)
    return found + [None] * (calls - len(found))


def _calls(model: nn.Module, inputs: Tensor, taken: bool = False) -> list[_Call]:
    with _recording(model, taken) as record, torch.no_grad():
        model(inputs)
    return record


@contextmanager
def _recording(model: nn.Module, taken: bool = False) -> Iterator[list[_Call]]:
    """Context that records the calls of all layers that return one tensor, with their inputs if `taken`."""
    record: list[_Call] = []
    before: dict[nn.Module, tuple[Tensor, ...]] = {}
    handles = []
    for name, layer in layers_of(model):

        def begin(module: nn.Module, args: tuple[Any, ...]) -> None:
            before[module] = tuple(each.detach().clone() for each in args if taken and isinstance(each, Tensor))

        def end(module: nn.Module, args: tuple[Any, ...], output: Any, name: str = name) -> None:
            if isinstance(output, Tensor) and output.is_floating_point():
                record.append(_Call(name or "(model)", module, before.pop(module), output.detach().clone()))

        handles += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()
