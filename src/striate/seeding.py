"""Seeds and random numbers as functions of (seed, purpose, epoch or step, index), with no state to save or restore.

A run that resumes, or that splits a batch among workers, draws the same numbers, because no draw depends on how many
were made before it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive(seed: int, *key: int | str) -> int:
    """Derive a 63-bit seed for one purpose: equal keys give equal seeds, different keys unrelated ones."""
    digest = hashlib.blake2b(repr((int(seed), *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *key: int | str) -> torch.Generator:
    """Return a CPU generator for one purpose, e.g. `generator(seed, "order", epoch)`."""
    return torch.Generator().manual_seed(derive(seed, *key))


@contextmanager
def scoped(seed: int, *key: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed the default generators inside the block and restore their states after it.

    PyTorch's dropout and parameter initialisation take no generator argument; this is how they are seeded here without
    a lasting global effect.
    """
    target, value = torch.device(device), derive(seed, *key)
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        # Not torch.manual_seed: it seeds every GPU, also those whose generators are not restored.
        torch.default_generator.manual_seed(value)
        if target.type == "cuda":
            with torch.cuda.device(target):
                torch.cuda.manual_seed(value)
        yield


def uniform(seed: int, *key: int | str, index: np.ndarray, draws: int) -> torch.Tensor:
    """Draw uniform numbers that depend on each sample's own index and not on its batch.

    Args:
        seed, key: the purpose of the numbers, e.g. `uniform(seed, "augment", epoch, index=..., draws=3)`.
        index: int64 (N,), the samples' positions in the data set.
        draws: the numbers per sample.

    Returns:
        float64 (N, draws) in [0, 1): SplitMix64 (Steele, Lea and Flood, 2014) run from a counter.
    """
    return uniforms(seed, [key], index=index, draws=draws)[0]


def uniforms(seed: int, keys: Sequence[tuple[int | str, ...]], *, index: np.ndarray, draws: int) -> torch.Tensor:
    """Draw as `uniform` for several keys, in the time of one: float64 (keys, N, draws)."""
    streams = np.array([derive(seed, *key) for key in keys], dtype=np.uint64)[:, None]
    start = _mix(streams ^ _mix(index.astype(np.uint64) * _GOLDEN))[:, :, None]
    counter = np.arange(1, draws + 1, dtype=np.uint64)
    bits = _mix(start + counter * _GOLDEN) >> np.uint64(11)
    return torch.from_numpy(bits.astype(np.float64) * 2.0**-53)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
