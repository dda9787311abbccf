"""The images of an audited data set: place, size, and pixels in more detail than for training."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from striate.data import Dataset
from striate.data.images.decode import UndecodableError, probe
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import ImageRef
from striate.data.lazy import Images, decoded, joined
from striate.hardware import worker_count
from striate.inspection.audits.result import ImageAt
from striate.preprocess import Preprocess

DETAILED = 64  # pixels: images with longer sides are looked at in more detail
_LEAST_SHARP = 48  # pixels: no smaller image is called blurred
_ENLARGED = 0.75


@dataclass(frozen=True)
class Pictures:
    """The images of all splits, one split after another.

    Args:
        data: the data set.
        places: where each image is.
        images: uint8 (N, H, W, C), decoded again from the files if they are larger than the data set's images.
        sizes: height and width of the files' images, int64 (N, 2); `None` if not every image has a file.
        close: whether they were decoded again.
    """

    data: Dataset
    places: list[ImageAt]
    images: Images
    sizes: np.ndarray | None
    close: bool

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return torch.cat([split.labels for _, split in self.data.splits()])

    @property
    def detailed(self) -> bool:
        """True if the images are larger than the small ones of MNIST or CIFAR."""
        return max(self.images.shape[1:3]) > DETAILED

    @property
    def can_be_sharp(self) -> np.ndarray:
        """True for images large enough to tell whether they are blurred; enlarged ones always look so: bool (N,)."""
        side = min(self.images.shape[1:3])
        if not self.close or self.sizes is None:
            return np.full(len(self.places), side >= _LEAST_SHARP)
        return self.sizes.min(axis=1) >= _ENLARGED * side


@contextmanager
def pictures_of(data: Dataset, preprocess: Preprocess) -> Iterator[Pictures]:
    """The images of a data set; those of files are decoded as `preprocess` says, as they are needed.

    Args:
        data: the data set.
        preprocess: the size of photographs.
    """
    places = [
        ImageAt(name, position, data.classes[label], split.files[position] if split.files else "")
        for name, split in data.splits()
        for position, label in enumerate(split.labels.tolist())
    ]
    sizes = _sizes([place.file for place in places])
    if sizes is None or np.median(sizes.max(axis=1)) <= DETAILED:
        yield Pictures(data, places, joined([split.images for _, split in data.splits()]), sizes, False)
        return
    decoders = Decoders(preprocess, worker_count(len(places)), processes=False)
    try:
        yield Pictures(data, places, decoded([ImageRef(Path(place.file)) for place in places], decoders), sizes, True)
    finally:
        decoders.close()


def _sizes(files: list[str]) -> np.ndarray | None:
    """Height and width of each file's image, int64 (N, 2); `None` where not every image is a file of its own."""
    if not all(file and Path(file).is_file() for file in files):
        return None
    try:
        with ThreadPoolExecutor(worker_count(len(files))) as pool:
            return np.array([(height, width) for width, height, _ in pool.map(probe, files)], dtype=np.int64)
    except UndecodableError:  # a file has changed since
        return None
