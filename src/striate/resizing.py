"""Image resizing by PyTorch, which with AVX2 is faster than Pillow."""

from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

Picture: TypeAlias = Image.Image | np.ndarray  # Pillow's, in mode L or RGB, or uint8 (height, width, 1 or 3)

Interpolation = Literal["bilinear", "bicubic"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

_LARGE = 2**21  # pixels
_PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resized(picture: Picture, width: int, height: int, interpolation: Interpolation = "bilinear") -> np.ndarray:
    """Resize a picture by a filter that is anti-aliased when it shrinks.

    A large picture that Pillow holds is resized by Pillow, so that there is no second copy of it; the pixel values of
    both differ by one, hardly ever by two.

    Args:
        picture: of any size; an array is copied where PyTorch can't read it as it lies in memory.
        width, height: in pixels.
        interpolation: "bilinear", or "bicubic" (Keys 1981, a = −0.5).

    Returns:
        uint8 (height, width, 1 or 3).
    """
    if isinstance(picture, Image.Image):
        if picture.width * picture.height > _LARGE:
            return resized_by_pillow(picture, width, height, interpolation)
        picture = pixels_of(picture)
    return resized_together(picture[None], width, height, interpolation)[0]


def resized_by_pillow(
    picture: Picture, width: int, height: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Run `resized` without PyTorch."""
    image = picture_of(picture) if isinstance(picture, np.ndarray) else picture
    return pixels_of(image.resize((width, height), _PILLOW[interpolation]))


def resized_together(
    pictures: np.ndarray, width: int, height: int, interpolation: Interpolation = "bilinear"
) -> np.ndarray:
    """Resize pictures of one size by one call: the call itself takes as long as the resizing of a small picture.

    Args:
        pictures: uint8 (N, h, w, 1 or 3), at least one; copied where PyTorch can't read them as they lie in memory.
        width, height: in pixels.
        interpolation: as in `resized`.

    Returns:
        uint8 (N, height, width, 1 or 3).
    """
    # Here, as the processes that decode small images do without it where they can, and start ten times as fast.
    import torch
    from torch.nn import functional as F

    # One picture is channels-last to PyTorch only if it is a batch of one before the channels come first.
    pixels = torch.from_numpy(np.require(pictures, requirements=("C", "W"))).permute(0, 3, 1, 2)
    scaled = F.interpolate(pixels, (height, width), mode=interpolation, antialias=True)
    return scaled.permute(0, 2, 3, 1).contiguous().numpy()


def pixels_of(picture: Picture) -> np.ndarray:
    """Return a picture as uint8 (height, width, 1 or 3); an array is returned as it is."""
    if isinstance(picture, np.ndarray):
        return picture
    return np.array(picture).reshape(picture.height, picture.width, -1)


def picture_of(pixels: np.ndarray) -> Image.Image:
    """Convert pixels, uint8 (height, width, 1 or 3), to a Pillow image in mode L or RGB."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
