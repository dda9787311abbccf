"""Boxes in images: erase what is in them (cutout)."""

import torch
from torch import Tensor


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Paint a box of each image, uint8 (N, H, W, C), in the image's mean colour; for `boxes` see `inside`.

    Cutout (DeVries and Taylor 2017) paints it in the data set's mean colour.
    """
    _, height, width, _ = images.shape
    sums = images.sum(dim=(1, 2), dtype=torch.int64)
    mean = ((sums + height * width // 2) // (height * width)).to(torch.uint8)
    return torch.where(inside(boxes, height, width).to(images.device), mean[:, None, None, :], images)


def draw_erase(uniform: Tensor, side: float | Tensor) -> Tensor:
    """A box with a centre anywhere, so that a part of it may lie outside; `side` is one for all, or (N, 1)."""
    return torch.cat([uniform, torch.ones_like(uniform[:, :1]) * side], dim=1)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Which pixels are in their image's box: bool (N, H, W, 1).

    Args:
        boxes: float (N, 3): the centre, down and right, and the side, all as shares of the image's sides.
    """
    down, right, side = boxes.unbind(dim=1)
    rows, columns = _between(down, side, height), _between(right, side, width)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _between(centre: Tensor, side: Tensor, length: int) -> Tensor:
    first, end = ((centre - side / 2) * length).round(), ((centre + side / 2) * length).round()
    place = torch.arange(length)
    return (place >= first[:, None]) & (place < end[:, None])
