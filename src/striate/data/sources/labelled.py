"""Data sets from labelled images: samples that carry their own labels, as in tar shards and tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from striate.data.build import Options, Part, collect, without_collection
from striate.data.dataset import Dataset
from striate.data.images.ref_lists import PartsOfFiles, Texts
from striate.data.splits import hold_out
from striate.errors import BadFilesError, DataError
from striate.units import listed, plural

Label = int | str


class Labelled(NamedTuple):
    """Images with their labels, each column a sequence (N,): there may be millions of them.

    Args:
        image_refs: the references to the images.
        keys: their unique names, the same on every machine.
        labels: their classes: numbers, or names.
    """

    image_refs: PartsOfFiles
    keys: Texts
    labels: Sequence[Label]

    @classmethod
    def joined(cls, parts: "Sequence[Labelled]") -> "Labelled":
        """The images of all parts, in order."""
        labels = [label for part in parts for label in part.labels]
        return cls(
            PartsOfFiles.joined([part.image_refs for part in parts]),
            Texts.joined([part.keys for part in parts]),
            labels,
        )


def named(source: str, labels: Iterable[Label]) -> dict[Label, str]:
    """Return the classes that occur and their names, in order: names as plain strings, or numbers ascending.

    Args:
        source: the data set's name in an error.
        labels: the labels of all samples.

    Raises:
        DataError: if some labels are numbers and others names.
    """
    found = set(labels)
    numbers = sorted(label for label in found if isinstance(label, int))
    names = sorted(label for label in found if isinstance(label, str))
    if numbers and names:
        raise DataError(f"{source}: some labels are numbers, like {numbers[0]}, and others names, like '{names[0]}'.")
    return {label: str(label) for label in numbers or names}


def collect_labelled(
    source: str,
    splits: Mapping[str, Labelled],
    classes: Mapping[Label, str],
    problems: Mapping[str, str],
    options: Options,
    notes: Sequence[str] = (),
) -> Dataset:
    """Build a data set from labelled images.

    Args:
        source, options, notes: as for `collect`.
        splits, classes: as for `planned`.
        problems: the samples that can't be used, each with the reason.

    Raises:
        DataError: if a class has no training image.
        BadFilesError: naming every sample that can't be used, unless `skip_bad`.
    """
    if problems and not options.skip_bad:
        raise BadFilesError(dict(problems))
    if problems:
        notes = [*notes, f"left out {plural(len(problems), 'sample')} without image or label"]
    with without_collection():
        plan = planned(source, splits, classes)
    loaded = collect(source, tuple(classes.values()), plan, options, notes=notes, divided="all" in splits)
    return replace(loaded, skipped=dict(problems) | loaded.skipped)


def planned(source: str, splits: Mapping[str, Labelled], classes: Mapping[Label, str]) -> dict[str, Part]:
    """Return the images of each split with their classes' positions, sorted by class and key.

    Args:
        source: the data set's name in an error.
        splits: the images of each split; or under the one key "all" those of all, which are divided here, class by
            class.
        classes: the name of each label, in the order of their positions.

    Raises:
        DataError: if a class has no training image.
    """
    plan: dict[str, Part] = {}
    for split, images in splits.items():
        chosen: dict[str, list[np.ndarray]] = {}  # by split and class
        for position, part in enumerate(_by_class(images, classes)):
            places = np.array(hold_out(list(images.keys.chosen(part))) if split == "all" else [split] * len(part))
            for place in dict.fromkeys(places.tolist()):
                chosen.setdefault(place, [part[:0] for _ in classes])[position] = part[places == place]
        for place, parts in chosen.items():
            labels = np.repeat(np.arange(len(parts)), list(map(len, parts)))
            plan[place] = Part(images.image_refs.chosen(np.concatenate(parts)), labels)
    if "train" not in plan:
        raise DataError(f"{source}: no labelled training image.")
    trained = set(plan["train"].labels.tolist())
    if lacking := [name for position, name in enumerate(classes.values()) if position not in trained]:
        raise DataError(f"{source}: no training image of {listed(lacking)}.")
    return plan


def _by_class(images: Labelled, classes: Iterable[Label]) -> list[np.ndarray]:
    """The positions of each class's images, in the order in which folders would hold them."""
    number = {label: position for position, label in enumerate(classes)}
    numbers = np.fromiter(map(number.__getitem__, images.labels), np.int64, len(images.labels))
    ends = np.bincount(numbers, minlength=len(number)).cumsum()
    return [_sorted(part, images.keys) for part in np.split(numbers.argsort(kind="stable"), ends[:-1])]


def _sorted(positions: np.ndarray, keys: Texts) -> np.ndarray:
    own = [key.replace("/", "\0") for key in keys.chosen(positions)]
    return positions[sorted(range(len(own)), key=own.__getitem__)]
