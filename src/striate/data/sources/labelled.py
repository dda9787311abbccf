"""Data sets from labelled images: samples that carry their own labels, as in tar shards and tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from striate.data.build import Options, Part, collect, without_collection
from striate.data.dataset import Dataset
from striate.data.images.image_ref import ImageRef
from striate.data.splits import hold_out
from striate.errors import BadFilesError, DataError
from striate.units import listed, plural

Label = int | str


class LabelledImage(NamedTuple):
    """One sample: an image reference with its label.

    Args:
        image_ref: the reference to the image.
        key: a unique name, the same on every machine.
        label: its class: a number, or a name.
    """

    image_ref: ImageRef
    key: str
    label: Label


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
    splits: Mapping[str, Sequence[LabelledImage]],
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


def planned(
    source: str, splits: Mapping[str, Sequence[LabelledImage]], classes: Mapping[Label, str]
) -> dict[str, Part]:
    """Return the images of each split with their classes' positions, sorted by class and key.

    Args:
        source: the data set's name in an error.
        splits: the samples of each split. Those under the key "all" are divided here, class by class.
        classes: the name of each label, in the order of their positions.

    Raises:
        DataError: if a class has no training image.
    """
    plan: dict[str, list[list[ImageRef]]] = {}  # by split and class
    for split, samples in splits.items():
        for position, part in enumerate(_by_class(samples, classes)):
            places = hold_out([sample.key for sample in part]) if split == "all" else [split] * len(part)
            for place in dict.fromkeys(places):
                chosen = [sample.image_ref for sample, own in zip(part, places, strict=True) if own == place]
                plan.setdefault(place, [[] for _ in classes])[position] += chosen
    trained = plan.get("train", [])
    if not any(trained):
        raise DataError(f"{source}: no labelled training image.")
    if lacking := [name for part, name in zip(trained, classes.values(), strict=True) if not part]:
        raise DataError(f"{source}: no training image of {listed(lacking)}.")
    return {
        split: Part(list(chain(*parts)), np.repeat(np.arange(len(parts)), list(map(len, parts))))
        for split, parts in plan.items()
    }


def _by_class(samples: Sequence[LabelledImage], labels: Iterable[Label]) -> list[list[LabelledImage]]:
    parts: dict[Label, list[LabelledImage]] = {label: [] for label in labels}
    for sample in samples:
        parts[sample.label].append(sample)
    return [sorted(part, key=lambda sample: sample.key.replace("/", "\0")) for part in parts.values()]  # as folders lie
