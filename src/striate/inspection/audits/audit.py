"""The audit: a look at a data set before anything is trained on it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate import seeding
from striate.data import Dataset
from striate.data.copies import copies, groups_of_several
from striate.data.lazy import Images
from striate.data.loading import as_dataset
from striate.errors import ArgumentError
from striate.files import read_regular, sha256
from striate.hardware import pick
from striate.inspection.audits import quality
from striate.inspection.audits.features import MISSING, Extractor, extractor, own_preprocess, reduced
from striate.inspection.audits.labels import wrong_labels
from striate.inspection.audits.pictures import Pictures, pictures_of
from striate.inspection.audits.result import Audit, Copies, ImageAt, Oddity, Suspect
from striate.models import BACKBONE
from striate.training import cross_validated
from striate.types import Progress
from striate.units import listed, percent

MOST = 10_000  # images that are checked for more than copies and size
_CHUNK = 512


def audit(
    data: Any = "digits",
    *,
    most: int = MOST,
    quick: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Audit:
    """Look for what is wrong with a data set: copies, wrong labels, images of no class, blurred, empty or small ones.

    Labels and outliers are judged by features of EfficientNet-Lite0, where the extra `striate[pretrained]` or another
    copy of its weights is on this machine: a label by a layer that was fitted to the features of other images.

    Args:
        data: a data set, a source for `load`, a pair (images, labels), or a PyTorch data set or `DataLoader`.
        most: how many images are checked for more than copies and size; of a larger data set, as many are drawn.
        quick: whether features, and with them labels and outliers, are left out.
        device: "auto", "cpu" or "cuda".
        progress: called now and then with what is being done, how much of it is done, and how much there is.

    Raises:
        ArgumentError: for data of no known kind, or if `most` is below 1.
        DataError: as `load`.

    >>> twice = torch.cat([data.train.images[:9], data.train.images[:1]])
    >>> labels = torch.cat([data.train.labels[:9], data.train.labels[:1]])
    >>> len(striate.audit((twice, labels), quick=True).copies)
    1
    """
    if most < 1:
        raise ArgumentError(f"most={most}: check one image at least.")
    target = pick(device)
    dataset = as_dataset(data)
    with pictures_of(dataset, own_preprocess(detailed=True)) as pictures:
        network = None if quick else extractor(pictures.detailed, target)
        notes = [] if quick or network else [MISSING]
        copied = duplicates(dataset, pictures.places, pictures.images if pictures.close else None, progress)
        chosen = _chosen(len(pictures.places), most, notes)
        measured, features = _measured(pictures, chosen, network, progress)
    odd, suspects = [*_odd(pictures, chosen, measured), *_small(pictures)], []
    if features is not None:
        places = [pictures.places[position] for position in chosen.tolist()]
        odd = _outliers(places, features) + odd
        suspects = _suspects(places, features, pictures.labels[chosen], dataset.classes, notes)
    return Audit(
        source=dataset.source,
        classes=dataset.classes,
        images=len(pictures.places),
        checked=len(chosen),
        model=BACKBONE if network else None,
        copies=copied,
        suspects=tuple(suspects),
        oddities=tuple(odd),
        notes=tuple(notes),
        data=dataset,
    )


def _chosen(count: int, most: int, notes: list[str]) -> Tensor:
    """The positions that are checked for more than copies, ascending: all, or `most` of them, always the same."""
    if count <= most:
        return torch.arange(count)
    notes.append(f"{most:,} of {count:,} images, drawn at random, were checked for more than copies and size")
    return torch.randperm(count, generator=seeding.generator(0, "audit"))[:most].sort().values


def _measured(
    pictures: Pictures, chosen: Tensor, network: Extractor | None, progress: Progress | None
) -> tuple[quality.Quality, Tensor | None]:
    """Quality and, with a network, features of the chosen images, each of which is read once."""
    found, features = [], []
    for part in chosen.split(_CHUNK):
        images = pictures.images[part]
        found.append(quality.measured(images))
        if network is not None:
            features.append(network.features(images))
        if progress is not None:
            progress("checking images", sum(len(each.blur) for each in found), len(chosen))
    both = quality.Quality(*(np.concatenate(values) for values in zip(*found, strict=True)))
    return both, torch.cat(features) if features else None


def _odd(pictures: Pictures, chosen: Tensor, measured: quality.Quality) -> list[Oddity]:
    """Blurred and nearly empty images."""
    places = [pictures.places[position] for position in chosen.tolist()]
    empty = quality.nearly_empty(measured.filled)
    judged = pictures.can_be_sharp[chosen.numpy()]
    judged[empty] = False
    judged = np.flatnonzero(judged)
    typical = float(np.median(measured.blur[judged])) if len(judged) else 0.0
    blurred = [
        Oddity(places[at], "blurred", value, f"blur {value:.2f} of 1, usual here is {typical:.2f}")
        for at in judged[quality.blurred(measured.blur[judged])].tolist()
        for value in [float(measured.blur[at])]
    ]
    bare = [
        Oddity(
            places[at], "nearly empty", 1 - value, f"{percent(1 - value, 1)} of its pixels have nearly the same grey"
        )
        for at in empty.tolist()
        for value in [float(measured.filled[at])]
    ]
    return blurred + bare


def _small(pictures: Pictures) -> list[Oddity]:
    """Images far smaller than the rest, where the files say how large they are."""
    if pictures.sizes is None:
        return []
    pixels = pictures.sizes.prod(axis=1)
    usual = "×".join(f"{side:.0f}" for side in np.median(pictures.sizes, axis=0))
    return [
        Oddity(
            pictures.places[at],
            "small",
            float(pixels[at]),
            f"{'×'.join(map(str, pictures.sizes[at]))} pixels (height×width), usual here are {usual}",
        )
        for at in quality.small(pixels).tolist()
    ]


def _outliers(places: list[ImageAt], features: Tensor) -> list[Oddity]:
    found, distances = quality.outliers(features.numpy())
    usual = float(np.median(distances))
    return [
        Oddity(places[at], "outlier", value, f"distance {value:.2f} to its neighbours, usual here is {usual:.2f}")
        for at in found.tolist()
        for value in [float(distances[at])]
    ]


def _suspects(
    places: list[ImageAt], features: Tensor, labels: Tensor, classes: tuple[str, ...], notes: list[str]
) -> list[Suspect]:
    """Images whose labels are probably wrong; a note if that can't be said."""
    probabilities = cross_validated(reduced(features), labels, len(classes))
    if probabilities is None:
        counts = labels.bincount(minlength=len(classes)).tolist()
        rare = [name for name, count in zip(classes, counts, strict=True) if count < 2]
        notes.append(f"labels were not checked, since it takes two images of each class: {listed(rare)}")
        return []
    values = probabilities.numpy()
    found = wrong_labels(values, labels.numpy())
    return [
        Suspect(places[at], classes[likely], float(values[at, likely]), float(values[at, int(labels[at])]))
        for at, likely in zip(found.positions.tolist(), found.looks_like.tolist(), strict=True)
    ]


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
