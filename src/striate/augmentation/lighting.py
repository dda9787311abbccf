"""PCA lighting: the colour of the light changes as colours vary in the data (Krizhevsky et al. 2012, section 4.1).

To every pixel of an image is added a₁λ₁p₁ + a₂λ₂p₂ + a₃λ₃p₃, where p and λ are the eigenvectors and eigenvalues of the
3×3 covariance of the training set's pixel values and the a are normal with standard deviation 0.1, drawn once for each
image and epoch. The paper does not say on which scale λ is; as everywhere since, full intensity is 1. A grey image has
one component, so it becomes brighter or darker as a whole.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from striate.errors import ArgumentError, ShapeError

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


class Images(Protocol):
    """A tensor of images, uint8 (N, H, W, C), or what gives the images at some positions as such a tensor does."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Tensor: ...


def components(images: Images) -> Tensor:
    """The principal components of the pixels' colours, each as long as its eigenvalue.

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
    signs = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()  # eigh leaves them open
    return (vectors * signs * values.clamp(min=0)).flip(1)


def lighting(images: Tensor, offsets: Tensor) -> Tensor:
    """Add to each image its own colour: uint8 (N, H, W, C) and offsets, float (N, C), in levels of 0 … 255."""
    count, height, width, channels = images.shape
    if offsets.shape[1] != channels:
        raise ShapeError(
            f"lighting for images of {offsets.shape[1]} channels can't be used on images of {channels}: "
            "lighting-imagenet is for colour, lighting for images like those it was fitted to."
        )
    # An offset moves all pixels by the same whole number of levels. Those that would leave 0 … 255 are first brought
    # to where they just stay inside, so bytes are enough. Colours are laid out along the row, since a loop over three
    # channels is many times slower than one over a row.
    levels = offsets.round().clamp(-255, 255).to(torch.int16)[:, None, :].repeat(1, 1, width if channels > 1 else 1)
    least, most = (-levels).clamp(min=0), 255 - levels.clamp(min=0)
    lit = images.reshape(count, height, width * channels).maximum(_bytes(least, images.device))
    torch.minimum(lit, _bytes(most, images.device), out=lit)
    return lit.add_(_bytes(levels, images.device)).view(images.shape)


def _bytes(levels: Tensor, device: torch.device) -> Tensor:
    """Whole numbers modulo 256: what is added to a byte to go down is a number above 127."""
    return levels.to(torch.uint8).to(device)


def draw_lighting(parts: Tensor, uniform: Tensor, strength: float) -> Tensor:
    """Offsets (N, C) in levels, along the components `parts`, (C, C); `uniform` is (N, 3), for three channels."""
    # Away from 0, where the normal distribution's inverse is infinite.
    normal = torch.special.ndtri(uniform[:, : len(parts)].clamp(min=2.0**-54)) * strength
    return 255 * (normal @ parts.T)


def draw_unfitted(uniform: Tensor, strength: float) -> Tensor:
    """What stands in the table until a policy is fitted."""
    raise ArgumentError(
        "lighting needs the colours of the training set: use parse(...).fitted(images), or lighting-imagenet."
    )
