"""Images to measure a network on, with labels that are positions in the network's classes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate import seeding
from striate.data import Dataset, Split
from striate.data.dataset import conformed_images
from striate.data.images.any_image import decode_any
from striate.data.lazy import joined
from striate.data.loading import as_dataset, lasting
from striate.errors import ArgumentError, BadFilesError, DataError
from striate.models import class_names, position
from striate.preprocess import Preprocess
from striate.runs import Trained
from striate.runs.trained import classes_of, preprocess_of
from striate.units import listed

PART = 256  # images that are read at once


@dataclass(frozen=True)
class Samples:
    """Images of the network's input size, with labels that are positions in its classes.

    Args:
        source: where they are from.
        name: which split they are: "test", "val", "train", or "all" for the splits together.
        split: the images.
        notes: what the reader of a result on them should know, a sentence each.
    """

    source: str
    name: str
    split: Split
    notes: tuple[str, ...] = ()

    def drawn(self, most: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Draw at most so many of the images, uint8 (N, H, W, C), in their order, with their labels."""
        index = torch.randperm(len(self.split), generator=seeding.generator(seed, "images"))[:most].sort().values
        return self.split.images[index], self.split.labels[index]

    def pictures(self, preprocess: Preprocess) -> Iterator[np.ndarray]:
        """Yield the images as their files hold them, uint8 (h, w, 1 or 3); without files, at the network's input size.

        JPEGs much larger than `preprocess` needs are decoded at a reduced scale, as they are for the network.
        """
        files = self.split.files
        if files and all(Path(file).is_file() for file in files):
            yield from (decode_any(file, preprocess) for file in files)
        else:
            yield from (image for part in self.split.images.split(PART) for image in part.numpy())


def network_and_data(
    model: Any,
    data: Any = None,
    *,
    module: nn.Module | None = None,
    preprocess: Preprocess | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Trained, Any]:
    """Open a network, and load the data that comes with a module, whose preprocessing may depend on it.

    Args:
        model, module, preprocess, classes: see `Trained.of`.
        data: what `striate.data.as_dataset` takes, or `None`.

    Returns:
        The network, and the data: loaded for a module, as it was for a run.
    """
    if isinstance(model, nn.Module) and data is not None:
        known = classes_of(model) if classes is None else classes
        data = as_dataset(data, preprocess or preprocess_of(model), known)
    return Trained.of(model, module=module, preprocess=preprocess, classes=classes, data=data), data


def samples_of(trained: Trained, data: Any = None, whole: bool | None = None) -> Samples:
    """Select the images to measure a network on.

    Of the data that a run was trained on, what it held out. Of other data the test split, or else val; where there is
    neither, because Striate itself would split it or it has nothing but train, all of its images: those of arrays in
    the order in which they were given.

    Args:
        trained: the network.
        data: a data set, or what `striate.data.as_dataset` takes, which is loaded with the network's preprocessing;
            `None` for a run's own data.
        whole: whether data that Striate itself would split is measured as a whole; unless it is a `Dataset`, if not
            given.

    Raises:
        ArgumentError: if a module comes without data, or data is of no known kind.
        DataError: if a run's own data holds nothing out, or if classes are unknown to the network; those that the data
            lacks are noted.
    """
    dataset, same_place = dataset_for(trained, data)
    run = trained.run
    changed = run is None or dataset.fingerprint() != run.fingerprint
    labels, few = positions_of(trained, dataset)
    notes = [*trained.notes, *few]
    if run is not None and (same_place or not changed):
        name, split = _held_out(dataset)
    elif dataset.divided and (not isinstance(data, Dataset) if whole is None else whole):
        name, split = "all", _everything(dataset)
    else:
        name, split = dataset.held_out or ("train", dataset.train)
    if run is not None and same_place and changed:
        notes.append(f"{run.source} has changed since the run was trained: it may have seen some of these images.")
    if name == "train":
        notes.append(f"{dataset.source} has no test or val split: these are its {len(split)} training images.")
    images = conformed_images(split.images, trained.preprocess)
    return Samples(dataset.source, name, Split(images, labels[split.labels], split.files), tuple(notes))


def dataset_for(trained: Trained, data: Any) -> tuple[Dataset, bool]:
    """Load data for a network, with its preprocessing, and say if it is from the source of the run's own."""
    run = trained.run
    if data is None and run is None:
        raise ArgumentError(f"{trained.name} has no data of its own: pass data=, images with labels to measure it on.")
    if run is not None and (data is None or _is_source(data, run.source)):
        return run.data(), True
    try:
        return as_dataset(data, trained.preprocess, trained.classes), False
    except BadFilesError as error:
        raise BadFilesError(error.problems, skippable=False) from None


def _is_source(data: Any, source: str) -> bool:
    """True if data is the path or name of this source."""
    return isinstance(data, str | os.PathLike) and Path(lasting(os.fspath(data))).resolve() == Path(source).resolve()


def _held_out(dataset: Dataset) -> tuple[str, Split]:
    if dataset.held_out is None:
        raise DataError(
            f"{dataset.source} has no test or val images: measure the run on images it was not trained on, with --data."
        )
    return dataset.held_out


def _everything(dataset: Dataset) -> Split:
    """All images; those of arrays in the order in which they were given."""
    splits = [split for _, split in dataset.splits()]
    whole = Split(
        joined([split.images for split in splits]),
        torch.cat([split.labels for split in splits]),
        tuple(file for split in splits for file in split.files),
    )
    if dataset.order is None:
        return whole
    given = dataset.order.argsort()
    return Split(whole.images[given], whole.labels[given])


def positions_of(trained: Trained, dataset: Dataset) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Match the data's classes to the network's by name.

    Those of ImageNet are found by their WordNet ids and by all of their words, and the data may have only some of them.

    Returns:
        For each of the data's classes its position among the network's, int64 (classes,); and a note, if any.
    """
    of_imagenet, owner = trained.classes == class_names(), trained.run.path if trained.run else trained.name
    places = {name: number for number, name in enumerate(trained.classes)}
    found = {name: position(name) if of_imagenet else places.get(name) for name in dataset.classes}
    missing = [name for name in trained.classes if places[name] not in found.values()]
    if unknown := [name for name, place in found.items() if place is None]:
        lacking = f"; missing in the data: {listed(missing)}" if missing else ""
        raise DataError(
            f"the classes of {dataset.source} are not those of {owner}; unknown to the "
            f"{'run' if trained.run else 'network'}: {listed(unknown)}{lacking}."
        )
    positions = [place for place in found.values() if place is not None]
    if len(set(positions)) < len(positions):
        raise DataError(f"{dataset.source}: two of its classes are the same class of {trained.name}.")
    few = f"{len(positions):,} of the network's {len(trained.classes):,} classes are in {dataset.source}."
    if missing and not of_imagenet:
        few = f"{dataset.source} has no images of {listed(missing)}: how well {owner} tells them is not measured."
    return torch.tensor(positions), (few,) if missing else ()
