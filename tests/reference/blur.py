"""Blurred downsampling in NumPy loops, from Zhang's definition: mirror the edge, filter, keep every n-th pixel."""

import numpy as np


def blur_pool2d(x: np.ndarray, taps: tuple[int, ...], stride: tuple[int, int]) -> np.ndarray:
    """`x` (N, C, H, W); `taps` along both axes, or a single 1 along an axis whose stride is 1."""
    for axis, step in ((2, stride[0]), (3, stride[1])):
        x = _along(x, taps if step > 1 else (1,), step, axis)
    return x


def _along(x: np.ndarray, taps: tuple[int, ...], stride: int, axis: int) -> np.ndarray:
    cells, before, after = x.shape[axis], (len(taps) - 1) // 2, len(taps) // 2
    widths = [(0, 0)] * 4
    widths[axis] = (before, after)
    padded = np.pad(x, widths, mode="reflect" if cells > after else "edge")
    out = []
    for start in range(0, cells, stride):
        window = [np.take(padded, start + i, axis) * tap for i, tap in enumerate(taps)]
        out.append(sum(window) / sum(taps))
    return np.stack(out, axis)
