"""Data sets that are arrays, brought to the size and the number of channels that were asked for."""

from dataclasses import replace

from striate.data.dataset import Dataset, Split
from striate.preprocess import Fit, Preprocess


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
        name: Split(preprocess.conform_all(split.images), split.labels, split.files) for name, split in dataset.splits()
    }
    return replace(dataset, train=splits["train"], val=splits.get("val"), test=splits.get("test"), fit=fit)
