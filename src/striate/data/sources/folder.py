"""Folders of images as data sets: one folder a class, or train/ with val/ or test/ around such folders.

Images that are not divided into splits are divided here.
"""

import os
import unicodedata
from collections import Counter
from itertools import repeat
from pathlib import Path

from striate.data.build import Options, collect, without_collection
from striate.data.dataset import Dataset
from striate.data.images.image_ref import ImageRef, whole_files
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


def plan_of(layout: Layout) -> dict[str, list[tuple[ImageRef, int]]]:
    """Return the image references and labels of each split, sorted by class and path."""
    plan: dict[str, list[tuple[ImageRef, int]]] = {}
    root = os.path.join(layout.root, "")
    for split, classes in layout.splits.items():
        for label, files in enumerate(classes.values()):
            if split != "all":
                plan.setdefault(split, []).extend(zip(whole_files(files), repeat(label)))
                continue
            keys = [unicodedata.normalize("NFC", path.removeprefix(root).replace(os.sep, "/")) for path in files]
            for path, place in zip(files, hold_out(keys), strict=True):
                plan.setdefault(place, []).append((ImageRef(path), label))
    return plan


def file_notes(others: Counter[str]) -> list[str]:
    """Return a note on ignored files, if there are any."""
    if not others:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    return [f"ignored {plural(others.total(), 'file')}: {kinds}"]
