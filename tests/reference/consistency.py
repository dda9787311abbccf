"""Shift consistency in NumPy, one image at a time, from its definition (Zhang, ICML 2019): how often two shifts of an
image get the same top class. It imports nothing of Striate."""

from collections.abc import Callable

import numpy as np

Classify = Callable[[np.ndarray], int]  # from one image, uint8 (H, W, C), to its top class


def shift_consistency(classify: Classify, images: np.ndarray, moves: np.ndarray, protocol: str, greatest: int) -> float:
    """`images` uint8 (N, H, W, C); `moves` int (N, 2, 2): for each image two moves, down and to the right."""
    agree = 0
    for image, (one, other) in zip(images, moves, strict=True):
        seen = [shifted(image, int(down), int(right), protocol, greatest) for down, right in (one, other)]
        agree += classify(seen[0]) == classify(seen[1])
    return agree / len(images)


def shifted(image: np.ndarray, down: int, right: int, protocol: str, greatest: int) -> np.ndarray:
    height, width, channels = image.shape
    if protocol == "circular":
        return np.roll(image, (down, right), (0, 1))
    if protocol == "zero":
        down, right = down - greatest // 2, right - greatest // 2
        canvas = np.zeros((height + 2 * greatest, width + 2 * greatest, channels), np.uint8)
        top, left = greatest + down, greatest + right
        canvas[top : top + height, left : left + width] = image
        return canvas[greatest : greatest + height, greatest : greatest + width]
    larger = enlarged(image, height + greatest + 1, width + greatest + 1)
    return larger[down : down + height, right : right + width]


def enlarged(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Linear interpolation between the centres of pixels, first along columns, then along rows."""
    columns = np.stack(
        [_along(column.astype(np.float64), height) for column in image.transpose(1, 2, 0).reshape(-1, image.shape[0])]
    )
    tall = columns.reshape(image.shape[1], image.shape[2], height).transpose(2, 0, 1)
    rows = np.stack([_along(row, width) for row in tall.transpose(0, 2, 1).reshape(-1, image.shape[1])])
    return np.rint(rows.reshape(height, image.shape[2], width).transpose(0, 2, 1)).astype(np.uint8)


def _along(values: np.ndarray, count: int) -> np.ndarray:
    centres = (np.arange(count) + 0.5) * len(values) / count - 0.5
    return np.interp(centres, np.arange(len(values)), values)
