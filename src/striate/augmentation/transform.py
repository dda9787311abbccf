"""Elements of an augmentation policy: transforms of single images, and mixing of two."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """A random transform of single images.

    Args:
        draws: the number of uniform numbers per sample.
        default, bounds, unit: the default strength, its range, and its meaning. A strength of 0 changes nothing.
        draw: float64 (N, draws) in [0, 1) and the strength, to parameters.
        apply: uint8 (N, H, W, C) and the parameters, to uint8 (N, H, W, C).
        alternates: whether every second epoch's numbers are those of the epoch before, shifted by a half: u becomes
            u ± ½. An effect of half of the numbers then happens to each image in one epoch of every two.
    """

    draws: int
    default: float
    bounds: tuple[float, float]
    unit: str
    draw: Callable[[Tensor, Any], Any]
    apply: Callable[[Tensor, Any], Tensor]
    alternates: bool = False


@dataclass(frozen=True)
class Mixing:
    """A random mixing of two images and their labels.

    Args:
        draws, default, bounds, unit, draw: as in `Transform`.
        apply: images, uint8 (N, H, W, C), targets, float32 (N, classes), and the parameters, to images and targets.
        alternates: never.
    """

    draws: int
    default: float
    bounds: tuple[float, float]
    unit: str
    draw: Callable[[Tensor, Any], Any]
    apply: Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]
    alternates: bool = False
