"""The transforms a policy is made of. Each draws its parameters from uniform numbers, then applies them to a batch.

Images are uint8 (N, H, W, C); what moves in from outside the image is black, the background of handwriting and of
product pictures.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """One kind of variation.

    Args:
        draws: how many uniform numbers a sample needs.
        default, bounds, unit: the strength when none is given, its range, and what it means.
        draw: float64 (N, draws) in [0, 1) and the strength, to parameters.
        apply: uint8 (N, H, W, C) and the parameters, to uint8 (N, H, W, C).
    """

    draws: int
    default: float
    bounds: tuple[float, float]
    unit: str
    draw: Callable[[Tensor, float], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror left and right where `mirrored`, bool (N,), is true."""
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(2), images)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Move each image down and right by `offsets`, float (N, 2): shares of height and width, to whole pixels."""
    count, height, width, _ = images.shape
    pixels = (offsets * torch.tensor([height, width])).round().long().to(images.device)
    rows = torch.arange(height, device=images.device) - pixels[:, :1]  # (N, H): where each row comes from
    columns = torch.arange(width, device=images.device) - pixels[:, 1:]  # (N, W)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    moved = images[
        torch.arange(count, device=images.device)[:, None, None],
        rows.clamp(0, height - 1)[:, :, None],
        columns.clamp(0, width - 1)[:, None, :],
    ]
    return moved * inside[..., None]


def affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample each image, bilinearly, so that the pixel at q shows what was at M q; positions are from the centre.

    Args:
        images: uint8 (N, H, W, C).
        matrices: (N, 2, 2), acting on (x, y) in pixels.
    """
    count, height, width, channels = images.shape
    half = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    # grid_sample measures in half-sides, where a rotation of a rectangle is no rotation.
    scaled = matrices.double() * half[None, None, :] / half[None, :, None]
    theta = torch.cat([scaled, torch.zeros(count, 2, 1, dtype=torch.float64)], dim=2).to(images.device, torch.float32)
    grid = F.affine_grid(theta, [count, channels, height, width], align_corners=False)
    source = images.permute(0, 3, 1, 2).to(torch.float32)
    resampled = F.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return resampled.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _symmetric(uniform: Tensor, strength: float) -> Tensor:
    return (2 * uniform - 1) * strength


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], dim=-1), torch.stack([c, d], dim=-1)], dim=-2)


def _rotation(uniform: Tensor, degrees: float) -> Tensor:
    angle = _symmetric(uniform[:, 0], math.radians(degrees))
    return _matrices(angle.cos(), angle.sin(), -angle.sin(), angle.cos())


def _zoom(uniform: Tensor, strength: float) -> Tensor:
    factor = torch.exp(_symmetric(uniform[:, 0], math.log1p(strength)))
    zero = torch.zeros_like(factor)
    return _matrices(1 / factor, zero, zero, 1 / factor)


def _squeeze(uniform: Tensor, strength: float) -> Tensor:
    factor = torch.exp(_symmetric(uniform[:, 0], math.log1p(strength)))
    zero = torch.zeros_like(factor)
    return _matrices(factor, zero, zero, 1 / factor)


def _shear(uniform: Tensor, strength: float) -> Tensor:
    slope = _symmetric(uniform[:, 0], strength)
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    return _matrices(one, slope, zero, one)


TRANSFORMS = {
    "flip": Transform(1, 0.5, (0, 1), "the share of images mirrored", lambda u, p: u[:, 0] < p, flip),
    "shift": Transform(2, 0.1, (0, 1), "the largest move, as a share of the side", _symmetric, shift),
    "rotate": Transform(1, 10, (0, 180), "the largest angle, in degrees", _rotation, affine),
    "zoom": Transform(1, 0.1, (0, 3), "0.1 means a tenth larger or smaller at most", _zoom, affine),
    "squeeze": Transform(
        1, 0.1, (0, 3), "0.1 means a tenth narrower and taller at most, or the reverse", _squeeze, affine
    ),
    "shear": Transform(1, 0.1, (0, 3), "the largest slope of a vertical line", _shear, affine),
}
