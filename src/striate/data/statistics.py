"""Statistics over all pixels of a split, computed in one pass: power sums for mean and variance, and a fingerprint."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from striate.data.lazy import Images
from striate.preprocess import power_sums

_CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ImageStatistics:
    """Power sums and fingerprint of a split.

    Args:
        sums: int64 (3, channels), see `power_sums`.
        fingerprint: the SHA-256 of the images and labels, of the classes' names and of the shapes.
        metadata: the `metadata_digest` of the classes, the shape and the labels that the fingerprint covers.
    """

    sums: np.ndarray
    fingerprint: str
    metadata: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"sums": self.sums.tolist(), "fingerprint": self.fingerprint, "of": self.metadata}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ImageStatistics":
        """The inverse of `to_dict`."""
        return cls(np.array(values["sums"], dtype=np.int64), values["fingerprint"], values["of"])


class RunningStatistics:
    """Accumulates `ImageStatistics` chunk by chunk; every image is added once, in order.

    Args:
        classes: the names.
        shape: (N, H, W, C) of all images.
        labels: int64 (N,).
    """

    def __init__(self, classes: Sequence[str], shape: Sequence[int], labels: Tensor):
        self._labels = labels.contiguous().numpy()
        self._digest = hashlib.sha256(_head(classes, shape))
        self._metadata = metadata_digest(classes, shape, labels)
        self._sums = np.zeros((3, shape[3]), dtype=np.int64)

    def add(self, images: np.ndarray) -> None:
        """Add the next images, uint8 (n, H, W, C)."""
        pixels = np.ascontiguousarray(images)
        self._digest.update(pixels.data)
        self._sums += power_sums(pixels)

    def statistics(self) -> ImageStatistics:
        """Return the statistics, once all images have been added."""
        digest = self._digest.copy()
        digest.update(self._labels.data)
        return ImageStatistics(self._sums, digest.hexdigest(), self._metadata)


def statistics_of(classes: Sequence[str], images: Images, labels: Tensor) -> ImageStatistics:
    """Return the statistics of images that are all available."""
    running = RunningStatistics(classes, images.shape, labels)
    for chunk in images.split(chunk_length(images)):
        running.add(chunk.numpy())
    return running.statistics()


def metadata_digest(classes: Sequence[str], shape: Sequence[int], labels: Tensor) -> str:
    """Return the SHA-256 of the classes' names, the shape and the labels, without the pixels."""
    return hashlib.sha256(_head(classes, shape) + labels.contiguous().numpy().tobytes()).hexdigest()


def power_sums_of(images: Images) -> np.ndarray:
    """Return the `power_sums` of images that may not be in memory: int64 (3, channels)."""
    sums = np.zeros((3, images.shape[3]), dtype=np.int64)
    for chunk in images.split(chunk_length(images)):
        sums += power_sums(chunk.numpy())
    return sums


def fingerprint_of(classes: Sequence[str], images: Images, labels: Tensor) -> str:
    """Return the SHA-256 of the images and labels, of the classes' names and of the shapes."""
    digest = hashlib.sha256(_head(classes, images.shape))
    for chunk in images.split(chunk_length(images)):
        digest.update(chunk.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def chunk_length(images: Images) -> int:
    """Return how many of these images make a chunk of about 16 MiB."""
    return max(1, _CHUNK_BYTES // max(1, images.shape[1:].numel()))


def _head(classes: Sequence[str], shape: Sequence[int]) -> bytes:
    return repr((tuple(classes), tuple(shape))).encode()
