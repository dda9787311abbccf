"""Folders of images as data sets: one folder a class, or train/ with val/ or test/ around such folders.

`read_layout` finds out which folders are classes, which are splits, and what is passed over. Images that are not
divided into splits are divided here.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from striate.data.build import Options, Part, collect, without_collection
from striate.data.dataset import Dataset
from striate.data.images.any_image import SYSTEM_FOLDERS, images_below, is_passed_over, suffix
from striate.data.images.decode import SUFFIXES
from striate.data.images.ref_lists import WholeFiles
from striate.data.splits import hold_out
from striate.errors import DataError
from striate.units import listed, plural

SPLITS = {  # what folders and files of a split are called
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
EXPECTED = (
    "Expected one folder of images for each class, as in cats/1.jpg and dogs/1.jpg, or folders named train, val and "
    "test with such folders in each."
)


Files = dict[str, list[str]]  # class name to its images, both sorted


@dataclass(frozen=True)
class Layout:
    """Classes, splits and files found in a folder.

    Args:
        root: where they lie: the folder, or the one folder in it that holds them.
        splits: the files of each class, by split; under the one key "all" where the folder is not split. All splits
            have the same classes; val and test may have none of some.
        others: the number of ignored files, by suffix: those that are no images, or not in a class folder.
        notes: what else was passed over, and what a split lacks.
    """

    root: Path
    splits: Mapping[str, Files]
    others: Counter[str]
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names in plain string order, so that "10" comes before "2" on every machine."""
        return tuple(next(iter(self.splits.values())))


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


def read_layout(root: Path) -> Layout:
    """Find the images under `root`. Hidden files and folders are ignored, links are followed.

    Raises:
        DataError: if `root` is no folder, or its classes are missing, empty or unknown to train.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}. {EXPECTED}")
    try:
        inner = _inner(root)
        layout = _read(inner)
        if layout.root != root:
            return replace(layout, notes=(f"the images of {root} are those in {layout.root}", *layout.notes))
        return layout
    except OSError as error:
        raise DataError(f"can't read {error.filename or root}: {error.strerror}.") from error


def _inner(folder: Path) -> Path:
    """Return the folder itself, or the one folder in it where that holds folders and no images: as archives unpack."""
    folders = list(_folders(folder).values())
    if len(folders) != 1 or not _folders(folders[0]) or _has_images(folder) or _has_images(folders[0]):
        return folder
    if SPLITS.get(folders[0].name.lower()) and folders[0].name.lower() != folder.name.lower():
        return folder  # train/ alone
    return _inner(folders[0])


def _read(root: Path) -> Layout:
    others: Counter[str] = Counter()
    folders = _folders(root)
    notes = _system_notes(root)
    parts = _parts(root, folders)
    if not parts:
        return _with_two_classes(Layout(root, {"all": _classes(root, folders, others)}, others, notes))
    splits: dict[str, Files] = {}
    for split in sorted(parts, key=_position):
        place = _inner(parts[split])
        if split != "train" and (unlabelled := _unlabelled(place, splits["train"])):
            notes += (f"left out {plural(unlabelled, 'image')} of {place}: without class folders they have no labels",)
            continue
        splits[split] = _classes(place, _folders(place), others, may_be_empty=split != "train")
        if split != "train":
            splits[split], lacking = _matched(root, split, splits[split], splits["train"])
            notes += lacking
    if ignored := sorted(name for name, path in folders.items() if path not in parts.values()):
        notes += (f"ignored folders next to train: {listed(ignored)}",)
    if len(splits) == 1:
        splits = {"all": splits["train"]}
    return _with_two_classes(Layout(root, splits, others, notes))


def _with_two_classes(layout: Layout) -> Layout:
    if len(layout.classes) < 2:
        raise DataError(
            f"{layout.root} has one class, {layout.classes[0]}, and a classifier needs two or more. {EXPECTED}"
        )
    return layout


def _parts(root: Path, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folders of the splits, or none if `root` has class folders."""
    parts: dict[str, Path] = {}
    for name, path in folders.items():
        split = SPLITS.get(name.lower())
        if split in parts:
            raise DataError(f"{root} has both {parts[split].name} and {name}: keep one of them.")
        if split:
            parts[split] = path
    if len(parts) == 1 and len(folders) > 1 and not _is_split(parts, folders):
        return {}
    if parts and "train" not in parts:
        raise DataError(f"{root} has {' and '.join(path.name for path in parts.values())} but no train. {EXPECTED}")
    return parts


def _is_split(parts: Mapping[str, Path], folders: Mapping[str, Path]) -> bool:
    """Tell a split from a class that is called "train": it has folders only, and is not one of several classes."""
    if "train" not in parts or _has_images(parts["train"]) or len(_folders(parts["train"])) < 2:
        return False
    others = [path for path in folders.values() if path != parts["train"]]
    return len(others) < 2 or not all(map(_has_images, others))


def _position(split: str) -> int:
    return ("train", "val", "test").index(split)


def _classes(root: Path, folders: Mapping[str, Path], others: Counter[str], may_be_empty: bool = False) -> Files:
    if not folders:
        raise DataError(f"{root} has no class folders. {EXPECTED}")
    strays = [path for path in root.iterdir() if path.is_file() and not path.name.startswith(".")]
    others.update(f"{suffix(path)} outside the class folders" for path in strays)
    classes = {}
    empty = []
    for name, folder in folders.items():
        before = others.total()
        classes[name] = images_below(folder, others)
        if not classes[name]:
            rest = others.total() - before
            empty.append(f"{folder}" + (f" (only {rest} of other kinds)" if rest else ""))
    if empty and not may_be_empty:
        raise DataError(f"no images in {', '.join(empty)}: add some or remove the folder. {EXPECTED}")
    return classes


def _folders(root: Path) -> dict[str, Path]:
    """Return the folders in `root`, sorted by name in Unicode's composed form, which macOS does not keep."""
    folders: dict[str, Path] = {}
    for path in root.iterdir():
        name = unicodedata.normalize("NFC", path.name)
        if is_passed_over(name) or not path.is_dir():
            continue
        if name in folders:
            raise DataError(f"{root} has two folders that look the same: '{name}'. Put their files into one.")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(f"{root} has a folder whose name can't be printed: {name!a}. Rename it.")
        folders[name] = path
    return dict(sorted(folders.items()))


def _system_notes(root: Path) -> tuple[str, ...]:
    """A note on the systems' own folders next to the classes; those among images are passed over alike."""
    found = sorted(path.name for path in root.iterdir() if path.name.lower() in SYSTEM_FOLDERS and path.is_dir())
    return (f"passed over {listed(found)}: not the user's own",) if found else ()


def _has_images(folder: Path) -> bool:
    """Tell whether images lie in a folder itself."""
    return any(
        path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        for path in folder.iterdir()
    )


def _unlabelled(place: Path, train: Files) -> int:
    """Count the images of a split without labels: those beside no class folder, or in one folder that is no class."""
    folders = _folders(place)
    if len(folders) > 1 or any(name in train for name in folders):
        return 0
    return len(images_below(place, Counter()))


def _matched(root: Path, split: str, classes: Files, train: Files) -> tuple[Files, tuple[str, ...]]:
    """The files of a split's classes in train's order, and a note on those of which it has none.

    Raises:
        DataError: for classes that train lacks: nothing can learn them.
    """
    if unknown := sorted(classes.keys() - train.keys()):
        raise DataError(
            f"{root}: {split} has classes that train lacks: {', '.join(unknown)}. Add training images of them, or take "
            "their folders away."
        )
    lacking = [name for name in train if not classes.get(name)]
    notes = (f"{split} has no images of {listed(lacking)}: how well these are told is not measured on it",)
    return {name: classes.get(name, []) for name in train}, notes if lacking else ()
