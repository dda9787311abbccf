"""Pooling in NumPy loops, from the definition: list each window's cells, leave out those beyond the edge, reduce.

`reduce` is `max` or `mean`; images are (N, C, H, W).
"""

import math
from collections.abc import Callable
from statistics import fmean

import numpy as np

Reduce = Callable[[list[float]], float]
mean: Reduce = fmean


def windows(n: int, kernel: int, stride: int, padding: str) -> list[list[int]]:
    """For each window along an axis of `n` cells, the indices of the real cells in it."""
    if padding == "valid":
        starts = [i for i in range(0, n, stride) if i + kernel <= n]
    else:
        count = math.ceil(n / stride)
        missing = max((count - 1) * stride + kernel - n, 0)
        starts = [i * stride - missing // 2 for i in range(count)]
    return [[i for i in range(start, start + kernel) if 0 <= i < n] for start in starts]


def pool2d(x: np.ndarray, reduce: Reduce, kernel: tuple[int, int], stride: tuple[int, int], padding: str) -> np.ndarray:
    images, channels, height, width = x.shape
    rows = windows(height, kernel[0], stride[0], padding)
    columns = windows(width, kernel[1], stride[1], padding)
    out = np.zeros((images, channels, len(rows), len(columns)))
    for n in range(images):
        for c in range(channels):
            for i, ys in enumerate(rows):
                for j, xs in enumerate(columns):
                    out[n, c, i, j] = reduce([float(x[n, c, h, w]) for h in ys for w in xs])
    return out


def depthwise_pool2d(x: np.ndarray, reduce: Reduce, kernel: int, stride: int, padding: str) -> np.ndarray:
    images, channels, height, width = x.shape
    groups = windows(channels, kernel, stride, padding)
    out = np.zeros((images, len(groups), height, width))
    for n in range(images):
        for g, group in enumerate(groups):
            for h in range(height):
                for w in range(width):
                    out[n, g, h, w] = reduce([float(x[n, c, h, w]) for c in group])
    return out
