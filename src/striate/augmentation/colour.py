"""Colour augmentation: brightness, contrast, saturation, noise and PCA lighting.

The first three are those of Pillow's ImageEnhance: a blend of the image with one that lacks light, contrast or colour,
by a factor that is 1 for the image itself, 0 for the other, and more than 1 for the opposite.

PCA lighting (Krizhevsky et al. 2012, section 4.1) changes the colour of the light as colours vary in the data. To every
pixel of an image is added a₁λ₁p₁ + a₂λ₂p₂ + a₃λ₃p₃, where p and λ are the eigenvectors and eigenvalues of the 3×3
covariance of the training set's pixel values and the a are normal with standard deviation 0.1, drawn once for each
image and epoch. The paper does not give the scale of λ; as everywhere since, full intensity is 1. A grey image has one
component, so it becomes brighter or darker as a whole.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from striate.errors import ArgumentError, ShapeError

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as where colour images are read as grey


MOST_IMAGES = 2000  # that the components are computed from, spread evenly over the training set
MOST_PIXELS = 4096  # of each of them
_CHUNK = 50
# λ and, as columns, p of ImageNet's training set in red, green, blue: the numbers in common use, first published with
# Facebook's ResNet code (fb.resnet.torch, 2016).
_IMAGENET_VALUES = torch.tensor([0.2175, 0.0188, 0.0045], dtype=torch.float64)
_IMAGENET_VECTORS = torch.tensor(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], dtype=torch.float64
)
IMAGENET = _IMAGENET_VECTORS * _IMAGENET_VALUES


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
    """Add normal noise, independent for each pixel and channel.

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
    return _to_bytes(noisy)


def draw_factor(uniform: Tensor, strength: float) -> Tensor:
    """Draw blend factors, uniform from 1 − strength to 1 + strength."""
    return 1 + (2 * uniform[:, 0] - 1) * strength


def draw_noise(uniform: Tensor, strength: float | Tensor) -> Tensor:
    """Draw noise parameters; `strength` is one standard deviation for all, or one each: (N, 1)."""
    return torch.cat([uniform, torch.ones_like(uniform) * strength], dim=1)


def _blended(images: Tensor, other: Tensor, factors: Tensor) -> Tensor:
    factor = factors.to(images.device, torch.float32)[:, None, None, None]
    return _to_bytes((images - other).mul_(factor).add_(other))


def _grey(pixels: Tensor) -> Tensor:
    """Return the luma of (..., 3), or (..., 1) as it is: (..., 1)."""
    if pixels.shape[-1] == 1:
        return pixels
    red, green, blue = pixels.split(1, dim=-1)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def _to_bytes(pixels: Tensor) -> Tensor:
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


class Images(Protocol):
    """Protocol of images, uint8 (N, H, W, C), that are indexed by positions: a tensor or lazy images."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Tensor: ...


def components(images: Images) -> Tensor:
    """Compute the principal components of the pixels' colours, each scaled by its eigenvalue.

    Args:
        images: uint8 (N, H, W, C), N at least 1; up to 2,000 of them are read, and up to 4,096 pixels of each.

    Returns:
        float64 (C, C): λ p in columns, the largest first, full intensity being 1.
    """
    channels = images.shape[3]
    positions = np.unique(np.linspace(0, len(images) - 1, min(MOST_IMAGES, len(images))).astype(np.int64))
    stride = -(-images.shape[1] * images.shape[2] // MOST_PIXELS)
    count, total = 0, torch.zeros(channels, dtype=torch.float64)
    products = torch.zeros(channels, channels, dtype=torch.float64)
    for start in range(0, len(positions), _CHUNK):  # images may lie on disk, and be large
        chosen = images[torch.from_numpy(positions[start : start + _CHUNK])].cpu()
        pixels = chosen.flatten(1, 2)[:, ::stride].reshape(-1, channels).double() / 255
        count, total, products = count + len(pixels), total + pixels.sum(dim=0), products + pixels.T @ pixels
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    signs = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()  # eigh leaves them undetermined
    return (vectors * signs * values.clamp(min=0)).flip(1)


def lighting(images: Tensor, offsets: Tensor) -> Tensor:
    """Add a colour offset to each image: uint8 (N, H, W, C) and offsets, float (N, C), in pixel values of 0 … 255."""
    count, height, width, channels = images.shape
    if offsets.shape[1] != channels:
        raise ShapeError(
            f"lighting for images of {offsets.shape[1]} channels can't be used on images of {channels}: "
            "lighting-imagenet is for colour, lighting for images like those it was fitted to."
        )
    # An offset changes all pixels by the same whole number. Those that would leave 0 … 255 are first clamped to where
    # they just stay inside, so bytes are enough. Colours are laid out along the row, since a loop over three channels
    # is many times slower than one over a row.
    whole = offsets.round().clamp(-255, 255).to(torch.int16)[:, None, :].repeat(1, 1, width if channels > 1 else 1)
    least, most = (-whole).clamp(min=0), 255 - whole.clamp(min=0)
    lit = images.reshape(count, height, width * channels).maximum(_bytes(least, images.device))
    torch.minimum(lit, _bytes(most, images.device), out=lit)
    return lit.add_(_bytes(whole, images.device)).view(images.shape)


def _bytes(numbers: Tensor, device: torch.device) -> Tensor:
    """Convert whole numbers to bytes modulo 256, so that adding a negative one to a byte wraps around."""
    return numbers.to(torch.uint8).to(device)


def draw_lighting(parts: Tensor, uniform: Tensor, strength: float) -> Tensor:
    """Draw colour offsets (N, C), in pixel values, along the components `parts`, (C, C); `uniform` is (N, 3)."""
    # Away from 0, where the normal distribution's inverse is infinite.
    normal = torch.special.ndtri(uniform[:, : len(parts)].clamp(min=2.0**-54)) * strength
    return 255 * (normal @ parts.T)


def draw_unfitted(uniform: Tensor, strength: float) -> Tensor:
    """Raise ArgumentError: the draw function of "lighting" until a policy is fitted."""
    raise ArgumentError(
        "lighting needs the colours of the training set: use parse(...).fitted(images), or lighting-imagenet."
    )
