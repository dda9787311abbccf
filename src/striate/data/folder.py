"""A folder of images as a data set: split where it is not split, brought to one size, every bad file named."""

import unicodedata
from pathlib import Path

import torch

from striate.data import notes
from striate.data.conform import target
from striate.data.dataset import Dataset, Split
from striate.data.layout import Layout, read_layout
from striate.data.places import Progress
from striate.data.reading import Header, read_headers, read_images
from striate.data.splitting import hold_out
from striate.errors import BadFilesError, DataError
from striate.preprocess import Fit, Preprocess

_LARGEST_OWN_SIZE = 224
_SIZE = (64, 64)

Entries = list[tuple[Path, int]]  # files and their labels


def load_folder(
    source: str,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    fit: Fit = "letterbox",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """The images under the folder `source`, see `load`.

    Raises:
        DataError: if the folder is laid out in another way, or a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    layout = read_layout(Path(source))
    plan = _plan(layout, Path(source))
    said = notes.of_layout(layout.others, layout.ignored)
    problems: dict[Path, str] = {}
    if size is None or channels is None:
        headers, problems = read_headers([path for entries in plan.values() for path, _ in entries], progress)
        preprocess = _inferred(headers, size, channels, fit)
        said += notes.of_images(headers, preprocess, size, channels)
    else:
        preprocess = target(size, channels, fit)
    splits = {name: _read_split(name, entries, problems, preprocess, progress) for name, entries in plan.items()}
    skipped = {str(path): problems[path] for path in sorted(problems)}
    if skipped and not skip_bad:
        raise BadFilesError(skipped)
    _demand_every_class(source, layout.classes, splits["train"])
    mirror = not all(name.isdigit() or (len(name) == 1 and name.isalpha()) for name in layout.classes)
    counts = {name: split.labels.bincount(minlength=len(layout.classes)).tolist() for name, split in splits.items()}
    said += notes.of_result(layout.classes, counts, len(skipped), split="all" in layout.splits, mirror=mirror)
    val, test = (split if split is not None and len(split) else None for split in map(splits.get, ("val", "test")))
    return Dataset(source, layout.classes, splits["train"], val, test, mirror, tuple(said), skipped, fit)


def _plan(layout: Layout, root: Path) -> dict[str, Entries]:
    """Which files go into which split, sorted by class and path."""
    plan: dict[str, Entries] = {}
    for split, classes in layout.splits.items():
        for label, files in enumerate(classes.values()):
            keys = [unicodedata.normalize("NFC", path.relative_to(root).as_posix()) for path in files]
            places = hold_out(keys) if split == "all" else [split] * len(files)
            for path, place in zip(files, places, strict=True):
                plan.setdefault(place, []).append((path, label))
    return plan


def _inferred(headers: list[Header], size: tuple[int, int] | None, channels: int | None, fit: Fit) -> Preprocess:
    if size is None:
        sizes = {(header.height, header.width) for header in headers}
        own = len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE
        size = sizes.pop() if own else _SIZE
    if channels is None:
        channels = max((header.channels for header in headers), default=1)
    return target(size, channels, fit)


def _read_split(
    name: str, entries: Entries, problems: dict[Path, str], preprocess: Preprocess, progress: Progress | None
) -> Split:
    """The images of a split that can be decoded; the reasons of those that can't are added to `problems`."""
    entries = [(path, label) for path, label in entries if path not in problems]
    images, bad = read_images([path for path, _ in entries], preprocess, f"decoding {name}", progress)
    labels = torch.tensor([label for _, label in entries], dtype=torch.int64)
    good = [position for position, (path, _) in enumerate(entries) if path not in bad]
    problems.update(bad)
    if bad:
        images, labels = images[good], labels[good]
    return Split(images, labels, tuple(str(entries[position][0]) for position in good))


def _demand_every_class(source: str, classes: tuple[str, ...], train: Split) -> None:
    present = set(train.labels.tolist())
    if lacking := [name for label, name in enumerate(classes) if label not in present]:
        raise DataError(f"{source}: no image to train on is left of {', '.join(lacking)}; the others can't be decoded.")
