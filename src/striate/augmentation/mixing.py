"""Mixing and erasing: mixup (Zhang et al. 2018), CutMix (Yun et al. 2019) and Cutout (DeVries and Taylor 2017).

mixup and CutMix mix two images and their labels: each image with the one before it in its batch, the first with the
last. The share that it keeps of itself depends on its own index, as with all other draws; its partner depends on the
batch.
"""

import math

import torch
from torch import Tensor


def mixup(images: Tensor, targets: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Blend each image with its partner, and their labels in the same shares.

    Args:
        images: uint8 (N, H, W, C).
        targets: float32 (N, classes), each row of sum 1.
        kept: the share, (N,), that each keeps of itself.
    """
    share = kept.to(images.device, torch.float32)
    partner = images.roll(1, dims=0).to(torch.float32)
    mixed = (images - partner).mul_(share[:, None, None, None]).add_(partner)
    return mixed.round_().clamp_(0, 255).to(torch.uint8), _mixed_targets(targets, share)


def cutmix(images: Tensor, targets: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Replace a box of each image by that of its partner; the label's share is that of the pixels.

    Args:
        images, targets: as for `mixup`.
        boxes: as for `inside`.
    """
    replaced = inside(boxes, images.shape[1], images.shape[2]).to(images.device)
    mixed = torch.where(replaced, images.roll(1, dims=0), images)
    return mixed, _mixed_targets(targets, 1 - replaced.float().mean(dim=(1, 2, 3)))


def draw_mixup(uniform: Tensor, strength: float) -> Tensor:
    """Draw max(λ, 1 − λ), λ from Beta(strength, strength): the shares of image and partner are interchangeable."""
    share = _beta(uniform, strength)
    return torch.maximum(share, 1 - share)


def draw_cutmix(uniform: Tensor, strength: float) -> Tensor:
    """Draw boxes of 1 − λ of the area, λ from Beta(strength, strength), with centres anywhere."""
    kept = _beta(uniform, strength) if strength else torch.ones(len(uniform), dtype=torch.float64)
    return torch.cat([uniform[:, 2:], (1 - kept).sqrt()[:, None]], dim=1)


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Erase a box of each image, uint8 (N, H, W, C): fill it with the image's mean colour; for `boxes` see `inside`.

    Cutout (DeVries and Taylor 2017) fills it with the data set's mean colour.
    """
    _, height, width, _ = images.shape
    sums = images.sum(dim=(1, 2), dtype=torch.int64)
    mean = ((sums + height * width // 2) // (height * width)).to(torch.uint8)
    return torch.where(inside(boxes, height, width).to(images.device), mean[:, None, None, :], images)


def draw_erase(uniform: Tensor, side: float | Tensor) -> Tensor:
    """Draw a box with a centre anywhere, so that a part of it may lie outside; `side` is one for all, or (N, 1)."""
    return torch.cat([uniform, torch.ones_like(uniform[:, :1]) * side], dim=1)


def inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return the mask of the pixels in each image's box: bool (N, H, W, 1).

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


def _beta(uniform: Tensor, strength: float) -> Tensor:
    """Draw from Beta(strength, strength) by two uniform numbers each: Devroye 1996, "in one line of code"."""
    radius, angle = 1 - uniform[:, 0], torch.cos(2 * math.pi * uniform[:, 1])
    power = 1 / strength if strength else math.inf
    quotient = (radius**-power - 1) * angle**2
    return (1 + angle.sign() / (1 + 1 / quotient).sqrt()) / 2


def _mixed_targets(targets: Tensor, share: Tensor) -> Tensor:
    return targets * share[:, None] + targets.roll(1, dims=0) * (1 - share[:, None])
