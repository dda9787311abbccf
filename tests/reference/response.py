"""Local response normalisation in NumPy loops, from section 3.3 of Krizhevsky et al. (2012)."""

import numpy as np


def local_response_norm(a: np.ndarray, n: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """b_i = a_i / (k + alpha · Σ a_j²)^beta, j from max(0, i − n/2) to min(N − 1, i + n/2); a is (N, C, H, W)."""
    maps = a.shape[1]
    b = np.empty_like(a, dtype=np.float64)
    for i in range(maps):
        total = sum(a[:, j].astype(np.float64) ** 2 for j in range(max(0, i - n // 2), min(maps - 1, i + n // 2) + 1))
        b[:, i] = a[:, i] / (k + alpha * total) ** beta
    return b
