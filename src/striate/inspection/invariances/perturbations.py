"""Perturbations of an image that keep its class, in steps of growing strength, and shifts under three protocols.

Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019, section 4, defines shift consistency: how often
two shifts of one image, each drawn evenly from 0 to d pixels down and to the right, get the same top class. His
ImageNet figures are of the protocol "crop" with images of 224 pixels and d = 31; those for CIFAR-10 are circular.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate import seeding
from striate.augmentation.geometry import affine


@dataclass(frozen=True)
class Perturbation:
    """One kind of perturbation.

    Args:
        name: one word.
        unit: what a strength means.
        strengths: those that are measured, least first.
        apply: from uint8 (N, H, W, C), a strength, a seed and the images' indices, int64 (N,), to uint8 (N, H, W, C).
        unchanged: the strength that leaves the image as it is.
    """

    name: str
    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Tensor, float, int, np.ndarray], Tensor]
    unchanged: float = 0.0


def _rotated(images: Tensor, degrees: float, seed: int, index: np.ndarray) -> Tensor:
    left = seeding.uniform(seed, "rotation", index=index, draws=1)[:, 0] < 0.5
    angle = torch.where(left, -1.0, 1.0).double() * math.radians(degrees)
    rows = [torch.stack([angle.cos(), angle.sin()], -1), torch.stack([-angle.sin(), angle.cos()], -1)]
    return affine(images, torch.stack(rows, -2))


def _scaled(images: Tensor, factor: float, seed: int, index: np.ndarray) -> Tensor:
    return affine(images, torch.eye(2, dtype=torch.float64).expand(len(images), 2, 2) / factor)


def _mirrored(images: Tensor, strength: float, seed: int, index: np.ndarray) -> Tensor:
    return images.flip(2) if strength else images


def _brighter(images: Tensor, share: float, seed: int, index: np.ndarray) -> Tensor:
    return _pixels(images.float() + 255 * share)


def _contrasted(images: Tensor, factor: float, seed: int, index: np.ndarray) -> Tensor:
    values = images.float()
    mean = values.mean((1, 2, 3), keepdim=True)
    return _pixels(mean + factor * (values - mean))


def _noisy(images: Tensor, deviation: float, seed: int, index: np.ndarray) -> Tensor:
    source = seeding.generator(seed, "noise", *index[:1].tolist())
    return _pixels(images.float() + 255 * deviation * torch.randn(images.shape, generator=source))


def _pixels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


PERTURBATIONS = (
    Perturbation("rotation", "degrees, to the left or to the right", (5, 10, 20, 30, 45, 90, 180), _rotated),
    Perturbation("scale", "times as large, about the middle", (0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5), _scaled, 1.0),
    Perturbation("mirror", "left and right exchanged", (1,), _mirrored),
    Perturbation("brightness", "share of the range added", (-0.4, -0.2, -0.1, 0.1, 0.2, 0.4), _brighter),
    Perturbation("contrast", "times the difference from the mean", (0.25, 0.5, 0.75, 1.5, 2, 3), _contrasted, 1.0),
    Perturbation("noise", "standard deviation, share of the range", (0.05, 0.1, 0.2, 0.3, 0.4), _noisy),
)


def crop(images: Tensor, by: Tensor, greatest: int) -> Tensor:
    """Cut windows of the images' size, `by` from the corner, from the images enlarged by `greatest` + 1 pixels."""
    _, height, width, _ = images.shape
    size = (height + greatest + 1, width + greatest + 1)
    larger = F.interpolate(images.permute(0, 3, 1, 2).float(), size, mode="bilinear", align_corners=False)
    return _taken(larger.round().to(torch.uint8).permute(0, 2, 3, 1), by[:, :1], by[:, 1:], height, width)


def zero(images: Tensor, by: Tensor, greatest: int) -> Tensor:
    """Shift the images by `by` less half of `greatest`, so that they stay about the middle; black moves in."""
    _, height, width, _ = images.shape
    framed = F.pad(images, (0, 0, *(greatest,) * 4))
    corner = greatest + greatest // 2 - by
    return _taken(framed, corner[:, :1], corner[:, 1:], height, width)


def circular(images: Tensor, by: Tensor, greatest: int) -> Tensor:
    """Shift the images by `by`; what leaves at one side comes in at the other."""
    _, height, width, _ = images.shape
    return _taken(images, -by[:, :1], -by[:, 1:], height, width)


Protocol = Callable[[Tensor, Tensor, int], Tensor]
# Each from images, uint8 (N, H, W, C), moves `by`, int64 (N, 2) in 0 … greatest, to uint8 (N, H, W, C).
PROTOCOLS: dict[str, tuple[Protocol, str]] = {
    "crop": (crop, "windows cut from the image enlarged by one pixel more than the greatest shift"),
    "zero": (zero, "the image shifted about its middle, with black moving in"),
    "circular": (circular, "the image shifted, with what leaves at one side coming in at the other"),
}


def offsets(seed: int, greatest: int, index: np.ndarray) -> tuple[Tensor, Tensor]:
    """Draw two independent shifts for each image: int64 (N, 2) each, down and right, uniform in 0 … greatest.

    Args:
        seed: what they are drawn from, together with each image's index, int64 (N,); all protocols have the same ones.
    """
    draws = (seeding.uniform(seed, "shift", greatest, index=index, draws=4) * (greatest + 1)).long()
    return draws[:, :2], draws[:, 2:]


def distances(side: int) -> list[int]:
    """The greatest shifts to measure for images with this shorter side, in pixels; `published(side)` is among them."""
    return sorted({max(1, -(-side * share // 28) - 1) for share in (1, 2, 4, 6, 8)})


def published(side: int) -> int:
    """The greatest shift with the same share of the side as Zhang's on ImageNet: 31 of 224 pixels."""
    return max(1, -(-side // 7) - 1)


def _taken(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Window of each image that begins at `top` and `left`, int64 (N, 1), around the edge where it must."""
    rows = (top + torch.arange(height)) % images.shape[1]
    columns = (left + torch.arange(width)) % images.shape[2]
    return images[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
