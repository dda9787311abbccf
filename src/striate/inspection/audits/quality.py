"""Images that differ from the rest: blurred, nearly empty, far smaller, or far from all others in feature space."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLUR_WINDOW = 5  # pixels
_ROUNDING = 1.0  # pixel values: the steps of a smooth gradient are no detail
_LEAST_BLUR, _BLUR_SPREADS = 0.72, 3.5
_EMPTY, _EMPTY_DIFFERENCE = 0.01, 12.0
_SMALL = 9.0  # times the pixels
_NEIGHBOUR, _FAR_SPREADS = 5, 4.5
_FEWEST = 20  # images, below which nothing can be far from the rest
_ROWS = 1024
_LUMA = (0.299, 0.587, 0.114)


class Quality(NamedTuple):
    """Measurements of images, one value each: `blur` in [0, 1], and `filled`, a share of the pixels."""

    blur: np.ndarray
    filled: np.ndarray


def measured(images: Tensor) -> Quality:
    """Measure images, uint8 (N, H, W, C).

    `blur` is Crete's (2007): how much of the difference between neighbouring pixels remains when the image is blurred,
    of rows or columns, whichever is blurred more. An image that is blurred already loses little by it. `filled` is the
    share of pixels whose grey value differs from the median by more than 12 of 255.
    """
    grey = images.float() @ torch.tensor(_LUMA) if images.shape[3] == 3 else images[..., 0].float()
    blur = torch.maximum(_remaining(grey), _remaining(grey.transpose(1, 2)))
    flat = grey.flatten(1)
    filled = ((flat - flat.median(dim=1, keepdim=True).values).abs() > _EMPTY_DIFFERENCE).float().mean(dim=1)
    return Quality(blur.numpy(), filled.numpy())


def _remaining(grey: Tensor) -> Tensor:
    """The share of the differences along rows that remains after blurring along them: float32 (N,)."""
    if grey.shape[2] < BLUR_WINDOW:
        return torch.zeros(len(grey))
    smooth = F.avg_pool2d(grey[:, None], (1, BLUR_WINDOW), stride=1)[:, 0]
    margin = BLUR_WINDOW // 2
    before = grey[:, :, margin : grey.shape[2] - margin].diff(dim=2).abs()
    lost = (before - smooth.diff(dim=2).abs() - _ROUNDING).clamp(min=0).sum(dim=(1, 2))
    return 1 - lost / before.sum(dim=(1, 2)).clamp(min=1e-6)


def blurred(blur: np.ndarray) -> np.ndarray:
    """Positions of images that are far more blurred than the rest, the most blurred first."""
    limit = max(_LEAST_BLUR, _far(blur, _BLUR_SPREADS))
    return _above(blur, limit)


def nearly_empty(filled: np.ndarray) -> np.ndarray:
    """Positions of images of which less than a hundredth differs from one grey value, the emptiest first."""
    return _above(-filled, -_EMPTY)


def small(pixels: np.ndarray) -> np.ndarray:
    """Positions of images that have less than a ninth of the usual number of pixels, the smallest first."""
    return _above(-pixels, -np.median(pixels) / _SMALL) if len(pixels) else np.zeros(0, dtype=np.int64)


def outliers(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images that are far from all others in feature space.

    An image is as far away as its fifth nearest neighbour, by the cosine between features; far means farther than the
    median by 4.5 robust standard deviations.

    Args:
        features: float32 (N, features).

    Returns:
        Positions, the farthest first, and the distances of all images.
    """
    distances = neighbour_distances(features)
    if len(features) < _FEWEST:
        return np.zeros(0, dtype=np.int64), distances
    return _above(distances, _far(distances, _FAR_SPREADS)), distances


def neighbour_distances(features: np.ndarray) -> np.ndarray:
    """One minus the cosine between each image's features and those of its fifth nearest neighbour: float32 (N,)."""
    units = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    rank = min(_NEIGHBOUR, len(features) - 1)  # the nearest of all is the image itself
    found = np.zeros(len(units), dtype=np.float32)
    for start in range(0, len(units), _ROWS):
        cosines = units[start : start + _ROWS] @ units.T
        found[start : start + _ROWS] = 1 - np.partition(cosines, -1 - rank, axis=1)[:, -1 - rank]
    return found


def _far(values: np.ndarray, spreads: float) -> float:
    """The median plus so many robust standard deviations, which are 1.4826 times the median absolute deviation."""
    if not len(values):
        return np.inf
    middle = float(np.median(values))
    return middle + spreads * 1.4826 * float(np.median(np.abs(values - middle)))


def _above(values: np.ndarray, limit: float) -> np.ndarray:
    """Positions of the values above a limit, the largest first."""
    found = np.flatnonzero(values > limit)
    return found[np.argsort(-values[found], kind="stable")]
