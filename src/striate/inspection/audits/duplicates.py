"""Copies in a data set: which images show the same picture, in how exact a copy."""

from pathlib import Path

import numpy as np

from striate.data import Dataset
from striate.data.copies import copies, groups_of_several
from striate.data.lazy import Images
from striate.files import read_regular, sha256
from striate.inspection.audits.result import Copies, ImageAt
from striate.types import Progress


def duplicates(
    data: Dataset, places: list[ImageAt], closeups: Images | None, progress: Progress | None
) -> tuple[Copies, ...]:
    """Groups of images that show the same picture: those in train and test first, then those with two labels.

    Args:
        data: the images.
        places: of all its images, one split after another.
        closeups: the same images in more detail, if there are any.
        progress: called now and then.
    """
    splits = [split.images for _, split in data.splits() if len(split)]
    groups = groups_of_several(copies(splits, closeups, progress))
    found = [_described(data, [places[position] for position in group]) for group in groups]
    return tuple(sorted(found, key=lambda each: (not each.leaks, not each.contradicts)))


def _described(data: Dataset, images: list[ImageAt]) -> Copies:
    files = [Path(image.file) for image in images if image.file]
    whole = len(files) == len(images) and all(file.is_file() for file in files)
    if whole and len({sha256(read_regular(file)) for file in files}) == 1:
        return Copies(tuple(images), "same file")
    splits = dict(data.splits())
    first, *others = (splits[image.split].images[image.position].numpy() for image in images)
    same = all(np.array_equal(first, other) for other in others)
    return Copies(tuple(images), "same pixels" if same else "nearly the same pixels")
