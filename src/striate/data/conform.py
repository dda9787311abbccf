"""Data sets that are arrays, brought to the size and the number of channels that were asked for."""

from dataclasses import replace

from torch import Tensor

from striate.data.dataset import Dataset, Split
from striate.data.lazy import Images, applied, is_large
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
