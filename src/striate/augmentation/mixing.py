"""Mixtures of two images with mixtures of their labels: mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019).

Each image is mixed with the one before it in its batch, the first with the last. How much of itself it keeps depends on
its own index, as with all other draws; what it is mixed with depends on the batch.
"""

import math

import torch
from torch import Tensor

from striate.augmentation.erasing import inside


def mixup(images: Tensor, targets: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Fade each image into its partner.

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
        boxes: as for `erasing.inside`.
    """
    replaced = inside(boxes, images.shape[1], images.shape[2]).to(images.device)
    mixed = torch.where(replaced, images.roll(1, dims=0), images)
    return mixed, _mixed_targets(targets, 1 - replaced.float().mean(dim=(1, 2, 3)))


def draw_mixup(uniform: Tensor, strength: float) -> Tensor:
    """The larger of λ and 1 − λ, λ being of Beta(strength, strength): an image and its partner are equal in law."""
    share = _beta(uniform, strength)
    return torch.maximum(share, 1 - share)


def draw_cutmix(uniform: Tensor, strength: float) -> Tensor:
    """Boxes of 1 − λ of the area, λ being of Beta(strength, strength), with centres anywhere."""
    kept = _beta(uniform, strength) if strength else torch.ones(len(uniform), dtype=torch.float64)
    return torch.cat([uniform[:, 2:], (1 - kept).sqrt()[:, None]], dim=1)


def _beta(uniform: Tensor, strength: float) -> Tensor:
    """Numbers of Beta(strength, strength) from two uniform ones each: Devroye 1996, "in one line of code"."""
    radius, angle = 1 - uniform[:, 0], torch.cos(2 * math.pi * uniform[:, 1])
    power = 1 / strength if strength else math.inf
    quotient = (radius**-power - 1) * angle**2
    return (1 + angle.sign() / (1 + 1 / quotient).sqrt()) / 2


def _mixed_targets(targets: Tensor, share: Tensor) -> Tensor:
    return targets * share[:, None] + targets.roll(1, dims=0) * (1 - share[:, None])
