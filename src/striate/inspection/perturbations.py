"""Changes of an image that leave what it shows, in steps of growing strength."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate import seeding
from striate.augmentation.geometry import affine


@dataclass(frozen=True)
class Perturbation:
    """One kind of change.

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
