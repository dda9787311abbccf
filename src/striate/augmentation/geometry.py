"""Geometric augmentation: mirroring, shifts, crops and linear transformations of the plane.

Images are uint8 (N, H, W, C). Outside a grey image is black, the background of handwriting and of grey product
pictures; a colour image is mirrored at its edge, since a network would recognise a photograph with black corners as
augmented.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

STRETCH = 4 / 3  # the largest ratio of a resized crop's aspect ratio to the image's (Szegedy et al. 2014, section 6)


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror left and right where `mirrored`, bool (N,), is true."""
    chosen = (-mirrored.to(torch.uint8)).to(images.device)[:, None, None, None]  # all bits, or none
    # The bits in which an image and its mirror image differ turn the one into the other: several times faster than
    # choosing pixel by pixel, as torch.where does.
    return images.flip(2).bitwise_xor_(images).bitwise_and_(chosen).bitwise_xor_(images)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Move each image down and right by `offsets`, float (N, 2): shares of height and width, to whole pixels.

    The images lie in one buffer with margins; an image moved is a window of the buffer that begins elsewhere, so that
    whole rows are copied and no pixel is looked up.
    """
    count, height, width, channels = images.shape
    pixels = (offsets * torch.tensor([height, width])).round().long()
    down, right = pixels.abs().amax(dim=0).tolist()
    buffer = F.pad(images, (0, 0, right, right, down, down))
    if channels > 1:
        buffer[:, :down] = buffer[:, down : 2 * down].flip(1)
        buffer[:, height + down :] = buffer[:, height : height + down].flip(1)
        buffer[:, :, :right] = buffer[:, :, right : 2 * right].flip(2)
        buffer[:, :, width + right :] = buffer[:, :, width : width + right].flip(2)
    image, row, column, _ = buffer.stride()
    starts = buffer.numel() - (height - 1) * row - width * column + 1
    windows = buffer.as_strided((starts, height, width * channels), (1, row, 1))
    unmoved = torch.arange(0, count * image, image) + (down * row + right * column)
    start = unmoved - pixels @ torch.tensor([row, column])
    return windows.index_select(0, start.to(images.device)).view(images.shape)


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Enlarge a part of each image to the size of the whole, bilinearly.

    Args:
        images: uint8 (N, H, W, C).
        boxes: float (N, 4): left, top, width and height of the part, as shares of the image's sides.
    """
    left, top, width, height = boxes.unbind(dim=1)
    zero = torch.zeros_like(left)
    rows = [torch.stack([width, zero, 2 * left + width - 1]), torch.stack([zero, height, 2 * top + height - 1])]
    return _resampled(images, torch.stack(rows).permute(2, 0, 1), outside="border")


def affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample each image, bilinearly, so that the pixel at q shows what was at M q; positions are from the centre.

    Args:
        images: uint8 (N, H, W, C).
        matrices: (N, 2, 2), acting on (x, y) in pixels.
    """
    count, height, width, channels = images.shape
    half = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    # grid_sample measures in half-sides, where a rotation of a rectangle is no rotation.
    scaled = matrices.double() * half[None, None, :] / half[None, :, None]
    theta = torch.cat([scaled, torch.zeros(count, 2, 1, dtype=torch.float64)], dim=2)
    return _resampled(images, theta, outside="zeros" if channels == 1 else "reflection")


def _resampled(images: Tensor, theta: Tensor, outside: Literal["border", "reflection", "zeros"]) -> Tensor:
    """Resample by `theta`, (N, 2, 3), which maps each new pixel to its old position, in half-sides from the centre."""
    _, height, width, _ = images.shape
    theta = theta.to(images.device, torch.float32)
    # A place is a sum of what its row and its column give: several times faster than F.affine_grid's matrix product.
    across = theta[:, :, 0, None] * _centres(width, images.device)  # (N, 2, W)
    down = theta[:, :, 1, None] * _centres(height, images.device) + theta[:, :, 2, None]  # (N, 2, H)
    grid = (across[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)  # (N, H, W, 2)
    source = images.permute(0, 3, 1, 2).to(torch.float32)
    resampled = F.grid_sample(source, grid, mode="bilinear", padding_mode=outside, align_corners=False)
    return resampled.round_().permute(0, 2, 3, 1).to(torch.uint8, memory_format=torch.contiguous_format)


def _centres(count: int, device: torch.device) -> Tensor:
    """Return the positions of the pixels along a side from −1 to 1: float32 (count,)."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def draw_flip(uniform: Tensor, share: float) -> Tensor:
    """Draw which images are mirrored: bool (N,)."""
    return uniform[:, 0] < share


def draw_shift(uniform: Tensor, strength: float) -> Tensor:
    """Draw offsets down and right, each uniform within ± strength."""
    return _symmetric(uniform, strength)


def draw_crop(uniform: Tensor, strength: float) -> Tensor:
    """Draw a box with sides shorter by `strength`, anywhere in the image."""
    sides = torch.full_like(uniform, 1 - strength)
    return torch.cat([uniform * strength, sides], dim=1)


def draw_resized_crop(uniform: Tensor, strength: float) -> Tensor:
    """Draw a box of 1 − strength to the whole of the area, anywhere in the image.

    Its aspect ratio, uniform in its logarithm, differs from the image's by up to `STRETCH`, or for a large box by as
    much as fits; so no box is rejected and drawn again, as in other implementations.
    """
    area = 1 - strength * uniform[:, 0]
    widest = (-area.log()).clamp(max=math.log(STRETCH))
    proportion = _symmetric(uniform[:, 1], widest).exp()
    sides = torch.stack([(area * proportion).sqrt(), (area / proportion).sqrt()], dim=1).clamp(max=1)
    return torch.cat([uniform[:, 2:] * (1 - sides), sides], dim=1)


def draw_rotate(uniform: Tensor, degrees: float) -> Tensor:
    """Draw rotation matrices with an angle uniform within ± degrees."""
    angle = _symmetric(uniform[:, 0], math.radians(degrees))
    return _matrices(angle.cos(), angle.sin(), -angle.sin(), angle.cos())


def draw_zoom(uniform: Tensor, strength: float) -> Tensor:
    """Draw matrices that enlarge or shrink, uniform in the factor's logarithm."""
    factor = torch.exp(_symmetric(uniform[:, 0], math.log1p(strength)))
    zero = torch.zeros_like(factor)
    return _matrices(1 / factor, zero, zero, 1 / factor)


def draw_squeeze(uniform: Tensor, strength: float) -> Tensor:
    """Draw matrices that make narrower and taller by the same factor, or the reverse, uniform in its logarithm."""
    factor = torch.exp(_symmetric(uniform[:, 0], math.log1p(strength)))
    zero = torch.zeros_like(factor)
    return _matrices(factor, zero, zero, 1 / factor)


def draw_shear(uniform: Tensor, strength: float) -> Tensor:
    """Draw shear matrices to either side, uniform in the slope."""
    slope = _symmetric(uniform[:, 0], strength)
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    return _matrices(one, slope, zero, one)


def _symmetric(uniform: Tensor, strength: float | Tensor) -> Tensor:
    return (2 * uniform - 1) * strength


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], dim=-1), torch.stack([c, d], dim=-1)], dim=-2)
