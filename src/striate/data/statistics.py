"""What is worth knowing of all pixels together, gathered as they pass: their power sums, and a fingerprint."""

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
    """What was gathered.

    Args:
        sums: int64 (3, channels), see `power_sums`.
        fingerprint: the SHA-256 of the images and labels, of the classes' names and of the shapes.
        metadata: what names the classes, the shape and the labels that the fingerprint is of.
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
    """Adds up and hashes images as they pass, all of them and in order.

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
        """The next images, uint8 (n, H, W, C)."""
        pixels = np.ascontiguousarray(images)
        self._digest.update(pixels.data)
        self._sums += power_sums(pixels)

    def statistics(self) -> ImageStatistics:
        """What there is to know, once all images have passed."""
        digest = self._digest.copy()
        digest.update(self._labels.data)
        return ImageStatistics(self._sums, digest.hexdigest(), self._metadata)


def statistics_of(classes: Sequence[str], images: Images, labels: Tensor) -> ImageStatistics:
    """What a `RunningStatistics` gathers, of images that are all there."""
    running = RunningStatistics(classes, images.shape, labels)
    for chunk in images.split(chunk_length(images)):
        running.add(chunk.numpy())
    return running.statistics()


def metadata_digest(classes: Sequence[str], shape: Sequence[int], labels: Tensor) -> str:
    """What a `ImageStatistics` of such images is filed under: changes with the classes, the shape and the labels."""
    return hashlib.sha256(_head(classes, shape) + labels.contiguous().numpy().tobytes()).hexdigest()


def power_sums_of(images: Images) -> np.ndarray:
    """`power_sums` of images that may not be in memory: int64 (3, channels)."""
    sums = np.zeros((3, images.shape[3]), dtype=np.int64)
    for chunk in images.split(chunk_length(images)):
        sums += power_sums(chunk.numpy())
    return sums


def fingerprint_of(classes: Sequence[str], images: Images, labels: Tensor) -> str:
    """The SHA-256 of the images and labels, of the classes' names and of the shapes."""
    digest = hashlib.sha256(_head(classes, images.shape))
    for chunk in images.split(chunk_length(images)):
        digest.update(chunk.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def chunk_length(images: Images) -> int:
    """How many of these images make a chunk that memory does not notice."""
    return max(1, _CHUNK_BYTES // max(1, images.shape[1:].numel()))


def _head(classes: Sequence[str], shape: Sequence[int]) -> bytes:
    return repr((tuple(classes), tuple(shape))).encode()
