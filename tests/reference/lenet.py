"""LeNet-5's layers in NumPy loops, from the paper's sentences."""

from collections.abc import Sequence

import numpy as np


def partial_conv2d(
    x: np.ndarray, connections: Sequence[Sequence[int]], weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Each output map: its bias and, for each input map it sees, that map under that connection's own kernel."""
    images, _, height, width = x.shape
    kh, kw = weight.shape[1:]
    out = np.zeros((images, len(connections), height - kh + 1, width - kw + 1))
    for n in range(images):
        connection = 0
        for o, inputs in enumerate(connections):
            out[n, o] += bias[o]
            for i in inputs:
                for y in range(out.shape[2]):
                    for z in range(out.shape[3]):
                        out[n, o, y, z] += (x[n, i, y : y + kh, z : z + kw] * weight[connection]).sum()
                connection += 1
    return out


def rbf(x: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
    """y_i = sum over j of (x_j - w_ij)^2."""
    out = np.zeros((len(x), len(prototypes)))
    for n, features in enumerate(x):
        for i, prototype in enumerate(prototypes):
            out[n, i] = sum((a - b) ** 2 for a, b in zip(features, prototype, strict=True))
    return out
