"""Moving images, under the three protocols in which shift consistency is published.

Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019, section 4: how often two shifts of one image,
each drawn evenly from 0 to d pixels down and to the right, get the same top class. His ImageNet figures are of the
protocol "crop" with images of 224 pixels and d = 31; those for CIFAR-10 are circular.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate import seeding


def crop(images: Tensor, by: Tensor, greatest: int) -> Tensor:
    """Windows of the images' size from the same images made `greatest` + 1 pixels larger, `by` from the corner."""
    _, height, width, _ = images.shape
    size = (height + greatest + 1, width + greatest + 1)
    larger = F.interpolate(images.permute(0, 3, 1, 2).float(), size, mode="bilinear", align_corners=False)
    return _taken(larger.round().to(torch.uint8).permute(0, 2, 3, 1), by[:, :1], by[:, 1:], height, width)


def zero(images: Tensor, by: Tensor, greatest: int) -> Tensor:
    """The images moved by `by` less half of `greatest`, so that they stay about the middle; black moves in."""
    _, height, width, _ = images.shape
    framed = F.pad(images, (0, 0, *(greatest,) * 4))
    corner = greatest + greatest // 2 - by
    return _taken(framed, corner[:, :1], corner[:, 1:], height, width)


def circular(images: Tensor, by: Tensor, greatest: int) -> Tensor:
    """The images moved by `by`; what leaves at one side comes in at the other."""
    _, height, width, _ = images.shape
    return _taken(images, -by[:, :1], -by[:, 1:], height, width)


Protocol = Callable[[Tensor, Tensor, int], Tensor]
# Each from images, uint8 (N, H, W, C), moves `by`, int64 (N, 2) in 0 … greatest, to uint8 (N, H, W, C).
PROTOCOLS: dict[str, tuple[Protocol, str]] = {
    "crop": (crop, "windows cut from the image enlarged by one pixel more than the greatest move"),
    "zero": (zero, "the image moved about its middle, black moving in"),
    "circular": (circular, "the image moved, what leaves at one side coming in at the other"),
}


def offsets(seed: int, greatest: int, index: np.ndarray) -> tuple[Tensor, Tensor]:
    """Two independent moves for each image: int64 (N, 2) each, down and to the right, drawn evenly from 0 … greatest.

    Args:
        seed: what they are drawn from, together with each image's index, int64 (N,); all protocols have the same ones.
    """
    draws = (seeding.uniform(seed, "shift", greatest, index=index, draws=4) * (greatest + 1)).long()
    return draws[:, :2], draws[:, 2:]


def distances(side: int) -> list[int]:
    """The greatest moves to measure for images with this shorter side, in pixels; `published(side)` is among them."""
    return sorted({max(1, -(-side * share // 28) - 1) for share in (1, 2, 4, 6, 8)})


def published(side: int) -> int:
    """The greatest move that has the same share of the side as Zhang's on ImageNet: 31 of 224 pixels."""
    return max(1, -(-side // 7) - 1)


def _taken(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """The window of each image that begins at `top` and `left`, int64 (N, 1), around the edge where it must."""
    rows = (top + torch.arange(height)) % images.shape[1]
    columns = (left + torch.arange(width)) % images.shape[2]
    return images[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
