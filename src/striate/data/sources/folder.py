"""Folders of images as data sets: one folder a class, or train/ with val/ or test/ around such folders.

Images that are not divided into splits are divided here.
"""

import os
import unicodedata
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np

from striate.data.build import Options, Part, collect, without_collection
from striate.data.dataset import Dataset
from striate.data.images.image_ref import WholeFiles
from striate.data.sources.layout import Layout, read_layout
from striate.data.splits import hold_out
from striate.units import plural


def load_folder(source: str, options: Options | None = None) -> Dataset:
    """Load the images under the folder `source`, see `load`.

    Raises:
        DataError: if the folder is laid out in another way, or a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    with without_collection():
        layout = read_layout(Path(source))
        plan = plan_of(layout)
    notes = [*layout.notes, *file_notes(layout.others)]
    return collect(source, layout.classes, plan, options or Options(), notes=notes, divided="all" in layout.splits)


def plan_of(layout: Layout) -> dict[str, Part]:
    """Return the image references and labels of each split, sorted by class and path."""
    found: dict[str, list[list[str]]] = {}  # the files of each class
    root = os.path.join(layout.root, "")
    for split, classes in layout.splits.items():
        if split != "all":
            found[split] = list(classes.values())
            continue
        for label, files in enumerate(classes.values()):
            keys = [unicodedata.normalize("NFC", path.removeprefix(root).replace(os.sep, "/")) for path in files]
            for path, place in zip(files, hold_out(keys), strict=True):
                found.setdefault(place, [[] for _ in classes])[label].append(path)
    return {
        split: Part(WholeFiles(list(chain(*files))), np.repeat(np.arange(len(files)), list(map(len, files))))
        for split, files in found.items()
    }


def file_notes(others: Counter[str]) -> list[str]:
    """Return a note on ignored files, if there are any."""
    if not others:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    return [f"ignored {plural(others.total(), 'file')}: {kinds}"]
