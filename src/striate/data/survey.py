"""Survey of a folder of images by the headers of some of its files, before anything is decoded."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.images.image_ref import read_headers
from striate.data.loading import NAMES
from striate.data.sources.folder import plan_of
from striate.data.sources.huggingface import PREFIX
from striate.data.sources.layout import read_layout
from striate.data.sources.tar_shards import are_shards

_SOME = 256  # files whose headers are read


@dataclass(frozen=True)
class Survey:
    """Typical size and colour of the images of a folder.

    Args:
        side: the median of the shorter sides, in pixels.
        grey: the share of grey images, in [0, 1].
        images: how many training images there are; all images, if the folder is not divided.
    """

    side: float
    grey: float
    images: int


def survey(source: str | os.PathLike[str]) -> Survey | None:
    """Look at some training images of a folder: as many from each part of it, always the same ones.

    Args:
        source: as for `load`.

    Returns:
        `None` for sources that are no folder of image files, and where no header can be read.

    Raises:
        DataError: if the folder is laid out in another way than `load` expects.
    """
    name = os.fspath(source)
    if name in NAMES or name.startswith(PREFIX) or are_shards(name) or not Path(name).is_dir():
        return None
    plan = plan_of(read_layout(Path(name)))
    images = plan["train"].image_refs if "train" in plan else ()
    places = np.linspace(0, max(len(images) - 1, 0), min(_SOME, len(images))).astype(int)
    headers, _ = read_headers([images[place] for place in places])
    if not headers:
        return None
    sides = np.sort([min(header.width, header.height) for header in headers.elements()])
    grey = sum(count for header, count in headers.items() if header.channels == 1) / headers.total()
    return Survey(float(np.median(sides)), grey, len(images))
