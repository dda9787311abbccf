"""Folders of images as data sets: one folder a class, or train/ with val/ or test/ around such folders.

Images that are not divided into splits are divided here.
"""

import gc
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from striate.data.build import Options, collect
from striate.data.dataset import Dataset
from striate.data.images.image_ref import ImageRef
from striate.data.sources.layout import Layout, read_layout
from striate.data.splits import hold_out
from striate.units import plural


def load_folder(source: str, options: Options | None = None) -> Dataset:
    """Load the images under the folder `source`, see `load`.

    Raises:
        DataError: if the folder is laid out in another way, or a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    with _without_collection():
        layout = read_layout(Path(source))
        plan = plan_of(layout)
    notes = [*layout.notes, *file_notes(layout.others)]
    return collect(source, layout.classes, plan, options or Options(), notes=notes, divided="all" in layout.splits)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Disable Python's garbage collector in the block.

    Listing files makes many new objects, and each collection would traverse all existing ones, PyTorch's too.
    """
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if usual:
            gc.enable()


def plan_of(layout: Layout) -> dict[str, list[tuple[ImageRef, int]]]:
    """Return the image references and labels of each split, sorted by class and path."""
    plan: dict[str, list[tuple[ImageRef, int]]] = {}
    above = len(layout.root.parts)
    for split, classes in layout.splits.items():
        for label, files in enumerate(classes.values()):
            keys = [unicodedata.normalize("NFC", "/".join(path.parts[above:])) for path in files]
            places = hold_out(keys) if split == "all" else [split] * len(files)
            for path, place in zip(files, places, strict=True):
                plan.setdefault(place, []).append((ImageRef(path), label))
    return plan


def file_notes(others: Counter[str]) -> list[str]:
    """Return a note on ignored files, if there are any."""
    if not others:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    return [f"ignored {plural(others.total(), 'file')}: {kinds}"]
