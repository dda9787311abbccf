"""A folder of images as a data set, split where it is not split."""

import gc
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from striate.data import notes
from striate.data.collecting import Options, collect
from striate.data.dataset import Dataset
from striate.data.entries import Entry
from striate.data.layout import Layout, read_layout
from striate.data.splitting import hold_out


def load_folder(source: str, options: Options | None = None) -> Dataset:
    """The images under the folder `source`, see `load`.

    Raises:
        DataError: if the folder is laid out in another way, or a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    with _without_collection():
        layout = read_layout(Path(source))
        plan = plan_of(layout, Path(source))
    said = notes.of_layout(layout.others, layout.ignored)
    return collect(source, layout.classes, plan, options or Options(), said=said, divided="all" in layout.splits)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python does not look for garbage in the block: it would look through all objects there are, PyTorch's too, as
    often as there are many new ones, and a listing is nothing else."""
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if usual:
            gc.enable()


def plan_of(layout: Layout, root: Path) -> dict[str, list[tuple[Entry, int]]]:
    """Which files go into which split, sorted by class and path."""
    plan: dict[str, list[tuple[Entry, int]]] = {}
    for split, classes in layout.splits.items():
        for label, files in enumerate(classes.values()):
            keys = [unicodedata.normalize("NFC", "/".join(path.parts[len(root.parts) :])) for path in files]
            places = hold_out(keys) if split == "all" else [split] * len(files)
            for path, place in zip(files, places, strict=True):
                plan.setdefault(place, []).append((Entry(path), label))
    return plan
