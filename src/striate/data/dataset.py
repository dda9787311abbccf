"""What every source of data becomes: splits of images and labels, and the names of the classes."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from striate.data.lazy import Images, applied, is_large
from striate.data.statistics import ImageStatistics, fingerprint_of, metadata_digest, power_sums_of
from striate.errors import DataError
from striate.preprocess import Fit, Preprocess


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Args:
        images: uint8 (N, H, W, C), C being 1 or 3: a tensor, or something that makes one of those asked for.
        labels: int64 (N,), positions in the data set's `classes`.
        files: where each image came from, or empty if the source has no files for single images.
        stats: what was gathered of the images while they were decoded.
    """

    images: Images
    labels: torch.Tensor
    files: tuple[str, ...] = ()
    stats: ImageStatistics | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[3] not in (1, 3):
            raise DataError(
                f"images of shape {tuple(self.images.shape)} and type {self.images.dtype}: "
                "expected uint8 (N, height, width, 1 or 3)."
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise DataError(
                f"labels of shape {tuple(self.labels.shape)} and type {self.labels.dtype}: "
                f"expected int64 ({len(self.images)},)."
            )

    def __len__(self) -> int:
        return len(self.images)

    def power_sums(self) -> np.ndarray:
        """The `power_sums` of the images: int64 (3, channels)."""
        return power_sums_of(self.images) if self.stats is None else self.stats.sums


@dataclass(frozen=True)
class Dataset:
    """A data set, ready to train on.

    Args:
        source: what `load` was given.
        classes: the names; a label is a position in this tuple.
        train, val, test: the splits; `val` and `test` may be missing.
        mirror: whether a mirrored image still has its label (true of clothes, false of digits and letters).
        notes: what was decided for the user, in sentences to be said aloud.
        skipped: path and reason of every file that was left out because the user said so.
        fit: how images of other proportions were brought to this size.
        sized: whether the size was chosen; if not, training brings the images to the size its model was drawn for.
        divided: whether Striate itself chose which images are held out.
    """

    source: str
    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    mirror: bool = False
    notes: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    fit: Fit = "letterbox"
    sized: bool = True
    divided: bool = False

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise DataError(f"{self.source}: a classifier needs two or more different classes, got {self.classes}.")
        for name, split in self.splits():
            if len(split) and not 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(self.classes):
                raise DataError(f"{self.source}: a label of split {name} is outside 0 … {len(self.classes) - 1}.")
        if not len(self.train):
            raise DataError(f"{self.source}: the training split holds no image.")

    def splits(self) -> Iterator[tuple[str, Split]]:
        """The splits that exist, by name."""
        for name in ("train", "val", "test"):
            split = getattr(self, name)
            if split is not None:
                yield name, split

    def fingerprint(self) -> str:
        """The SHA-256 of the training images and labels, of the classes' names and of the shapes.

        Of files it was computed when they were decoded, and holds as long as no file has changed.
        """
        train = self.train
        if train.stats is not None and train.stats.metadata == metadata_digest(
            self.classes, train.images.shape, train.labels
        ):
            return train.stats.fingerprint
        return fingerprint_of(self.classes, train.images, train.labels)

    @property
    def held_out(self) -> tuple[str, Split] | None:
        """The split that results are measured on: test, or where there is none val."""
        for name in ("test", "val"):
            split: Split | None = getattr(self, name)
            if split is not None and len(split):
                return name, split
        return None


def target(size: tuple[int, int], channels: int, fit: Fit) -> Preprocess:
    """The preprocessing that brings images to `size` (height, width) and `channels`, and leaves their values alone.

    Raises:
        ArgumentError: for a size, a number of channels or a fit that can't be.
    """
    height, width = size
    return Preprocess(height, width, channels, fit, mean=(0.0,) * channels, std=(1.0,) * channels)


def conformed(dataset: Dataset, size: tuple[int, int] | None, channels: int | None, fit: Fit) -> Dataset:
    """`dataset` with images of `size` and `channels`; None keeps its own."""
    _, height, width, native = dataset.train.images.shape
    preprocess = target(size or (height, width), channels or native, fit)
    splits = {
        name: Split(conformed_images(split.images, preprocess), split.labels, split.files)
        for name, split in dataset.splits()
    }
    return replace(dataset, train=splits["train"], val=splits.get("val"), test=splits.get("test"), fit=fit)


def conformed_images(images: Images, preprocess: Preprocess) -> Images:
    """`Preprocess.conform` for each image: at once, or where that would fill the memory, when it is asked for."""
    shape = (preprocess.height, preprocess.width, preprocess.channels)
    if images.shape[1:] == shape:
        return images
    if isinstance(images, Tensor) and not is_large((len(images), *shape)):
        return preprocess.conform_all(images)
    return applied(preprocess.conform_all, images, shape)
