"""Folders of images as data sets: one folder a class, or train/ with val/ or test/ around such folders.

Images that are not divided into splits are divided here.
"""

import gc
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from striate.data.build import Options, collect
from striate.data.dataset import Dataset
from striate.data.images.decode import SUFFIXES
from striate.data.images.image_ref import ImageRef
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


def load_folder(source: str, options: Options | None = None) -> Dataset:
    """Load the images under the folder `source`, see `load`.

    Raises:
        DataError: if the folder is laid out in another way, or a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    with _without_collection():
        layout = read_layout(Path(source))
        plan = plan_of(layout, Path(source))
    notes = layout_notes(layout.others, layout.ignored)
    return collect(source, layout.classes, plan, options or Options(), notes=notes, divided="all" in layout.splits)


Files = dict[str, list[Path]]  # class name to its images, both sorted


@dataclass(frozen=True)
class Layout:
    """Classes, splits and files found in a folder.

    Args:
        splits: the files of each class, by split; under the one key "all" where the folder is not split.
        others: the number of ignored files, by suffix: those that are no images, or not in a class folder.
        ignored: folders next to train/, val/ and test/ that were ignored.
    """

    splits: Mapping[str, Files]
    others: Counter[str]
    ignored: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names in plain string order, so that "10" comes before "2" on every machine."""
        return tuple(next(iter(self.splits.values())))


def read_layout(root: Path) -> Layout:
    """Find the images under `root`. Hidden files and folders are ignored, links are followed.

    Raises:
        DataError: if `root` is no folder, or its classes are missing, empty or differ between the splits.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}. {EXPECTED}")
    try:
        return _read(root)
    except OSError as error:
        raise DataError(f"can't read {error.filename or root}: {error.strerror}.") from error


def _read(root: Path) -> Layout:
    others: Counter[str] = Counter()
    folders = _folders(root)
    parts = _parts(root, folders)
    if not parts:
        return _with_two_classes(root, Layout({"all": _classes(root, folders, others)}, others))
    splits = {split: _classes(parts[split], _folders(parts[split]), others) for split in sorted(parts, key=_position)}
    _match(root, splits)
    ignored = tuple(sorted(name for name, path in folders.items() if path not in parts.values()))
    if len(splits) == 1:
        splits = {"all": splits["train"]}
    return _with_two_classes(root, Layout(splits, others, ignored))


def _with_two_classes(root: Path, layout: Layout) -> Layout:
    if len(layout.classes) < 2:
        raise DataError(f"{root} has one class, {layout.classes[0]}, and a classifier needs two or more. {EXPECTED}")
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
    if len(parts) == 1 and len(folders) > 1:
        return {}  # a class may be called "train": one such name among others is no split
    if parts and "train" not in parts:
        raise DataError(f"{root} has {' and '.join(path.name for path in parts.values())} but no train. {EXPECTED}")
    return parts


def _position(split: str) -> int:
    return ("train", "val", "test").index(split)


def _classes(root: Path, folders: Mapping[str, Path], others: Counter[str]) -> Files:
    if not folders:
        raise DataError(f"{root} has no class folders. {EXPECTED}")
    strays = [path for path in root.iterdir() if path.is_file() and not path.name.startswith(".")]
    others.update(f"{_suffix(path)} outside the class folders" for path in strays)
    classes = {}
    empty = []
    for name, folder in folders.items():
        before = others.total()
        classes[name] = _images(folder, others)
        if not classes[name]:
            rest = others.total() - before
            empty.append(f"{folder}" + (f" (only {rest} of other kinds)" if rest else ""))
    if empty:
        raise DataError(f"no images in {', '.join(empty)}: add some or remove the folder. {EXPECTED}")
    return classes


def _folders(root: Path) -> dict[str, Path]:
    """Return the folders in `root`, sorted by name in Unicode's composed form, which macOS does not keep."""
    folders: dict[str, Path] = {}
    for path in root.iterdir():
        name = unicodedata.normalize("NFC", path.name)
        if name.startswith(".") or name == "__MACOSX" or not path.is_dir():
            continue
        if name in folders:
            raise DataError(f"{root} has two folders that look the same: '{name}'. Put their files into one.")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(f"{root} has a folder whose name can't be printed: {name!a}. Rename it.")
        folders[name] = path
    return dict(sorted(folders.items()))


def _images(folder: Path, others: Counter[str]) -> list[Path]:
    """Return the images anywhere below `folder`, sorted by path; other files are counted in `others`."""
    images = []
    for path in _walk(folder):
        if path.suffix.lower() in SUFFIXES:
            images.append(path)
        else:
            others[_suffix(path)] += 1
    return sorted(images, key=lambda path: path.parts)


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    top = Path(os.path.realpath(folder))
    visited = set()  # links may form a cycle, or lead to a parent folder
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        real = Path(os.path.realpath(place))
        if real in visited or (real != top and top.is_relative_to(real)):
            folders.clear()
            continue
        visited.add(real)
        yield from (Path(place, name) for name in files if not name.startswith("."))


def _suffix(path: Path) -> str:
    return path.suffix.lower() or "without a suffix"


def _match(root: Path, splits: Mapping[str, Files]) -> None:
    """Raise unless all splits have the same classes: a missing one would shift the numbers of the others."""
    known = splits["train"].keys()
    problems = []
    for split, classes in splits.items():
        if unknown := sorted(classes.keys() - known):
            problems.append(f"{split} has classes that train lacks: {', '.join(unknown)}")
        if missing := sorted(known - classes.keys()):
            problems.append(f"{split} lacks classes of train: {', '.join(missing)}")
    if problems:
        raise DataError(f"{root}: {'; '.join(problems)}. Every split needs the same class folders.")


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


def plan_of(layout: Layout, root: Path) -> dict[str, list[tuple[ImageRef, int]]]:
    """Return the image references and labels of each split, sorted by class and path."""
    plan: dict[str, list[tuple[ImageRef, int]]] = {}
    for split, classes in layout.splits.items():
        for label, files in enumerate(classes.values()):
            keys = [unicodedata.normalize("NFC", "/".join(path.parts[len(root.parts) :])) for path in files]
            places = hold_out(keys) if split == "all" else [split] * len(files)
            for path, place in zip(files, places, strict=True):
                plan.setdefault(place, []).append((ImageRef(path), label))
    return plan


def layout_notes(others: Counter[str], ignored: Sequence[str]) -> list[str]:
    """Return notes on ignored files and folders."""
    notes = []
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        notes.append(f"ignored {plural(others.total(), 'file')}: {kinds}")
    if ignored:
        notes.append(f"ignored folders next to train: {listed(ignored)}")
    return notes
