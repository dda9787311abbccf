"""What a policy is made of: variations of single images, and mixtures of two."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Transform:
    """One kind of variation.

    Args:
        draws: how many uniform numbers a sample needs.
        default, bounds, unit: the strength when none is given, its range, and what it means. Nought changes nothing.
        draw: float64 (N, draws) in [0, 1) and the strength, to parameters.
        apply: uint8 (N, H, W, C) and the parameters, to uint8 (N, H, W, C).
        alternates: whether every second epoch's numbers are those of the epoch before, half a turn on: u becomes
            u ± ½. What half of the numbers bring about then happens to each image in one epoch of every two.
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
    """One kind of mixture.

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
