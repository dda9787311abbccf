"""What pixels are worth: brightness, contrast, saturation, noise.

The first three are what Pillow's ImageEnhance does: a blend of the image with one that lacks something (light, contrast
or colour), by a factor that is 1 for the image itself, 0 for the other, and more than 1 for the opposite.
"""

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as where colour images are read as grey


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with black: uint8 (N, H, W, C) by factors (N,)."""
    return _blended(images, torch.zeros(1, device=images.device), factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the image's mean grey: uint8 (N, H, W, C) by factors (N,)."""
    sums = images.sum(dim=(1, 2), dtype=torch.int64).double()  # exact, in whatever order they are added
    mean = _grey(sums / (images.shape[1] * images.shape[2]))
    return _blended(images, mean.float()[:, None, None, :], factors)


def saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the image in grey: uint8 (N, H, W, C) by factors (N,). Grey images stay as they are."""
    return _blended(images, _grey(images.to(torch.float32)), factors)


def noise(images: Tensor, parameters: Tensor) -> Tensor:
    """Add normal noise, for each pixel and channel by itself.

    Args:
        images: uint8 (N, H, W, C).
        parameters: float64 (N, 2): a uniform number that seeds the image's own generator, and the standard deviation
            as a share of full intensity.
    """
    noisy = images.to(torch.float32, copy=True)
    for image, (number, deviation) in zip(noisy, parameters.tolist(), strict=True):
        generator = torch.Generator().manual_seed(int(number * 2**32))  # which looks at 32 bits only
        normal = torch.randn(image.shape, generator=generator)
        image.add_(normal.to(images.device), alpha=255 * deviation)
    return _levels(noisy)


def draw_factor(uniform: Tensor, strength: float) -> Tensor:
    """Evenly from 1 − strength to 1 + strength."""
    return 1 + (2 * uniform[:, 0] - 1) * strength


def draw_noise(uniform: Tensor, strength: float | Tensor) -> Tensor:
    """The same standard deviation for all, or one each: (N, 1)."""
    return torch.cat([uniform, torch.ones_like(uniform) * strength], dim=1)


def _blended(images: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    factor = factors.to(images.device, torch.float32)[:, None, None, None]
    return _levels((images - other).mul_(factor).add_(other))


def _grey(pixels: Tensor) -> Tensor:
    """The luma of (..., 3), or (..., 1) as it is: (..., 1)."""
    if pixels.shape[-1] == 1:
        return pixels
    red, green, blue = pixels.split(1, dim=-1)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def _levels(pixels: Tensor) -> Tensor:
    return pixels.round_().clamp_(0, 255).to(torch.uint8)
