"""Squeeze-and-excitation in NumPy, from the paper's equations 2 to 4, one image at a time."""

from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def squeeze_excitation(
    x: np.ndarray,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    activation: Function,
    gate: Function,
) -> np.ndarray:
    """Each dense layer is (weight, bias); images are (N, C, H, W)."""
    out = np.zeros_like(x)
    for n, image in enumerate(x):
        means = np.array([feature_map.mean() for feature_map in image])
        gates = gate(second[0] @ activation(first[0] @ means + first[1]) + second[1])
        for c, feature_map in enumerate(image):
            out[n, c] = gates[c] * feature_map
    return out
