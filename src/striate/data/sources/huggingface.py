"""Hugging Face data sets, by name or from disk, with the library that `pip install 'striate[huggingface]'` installs.

The library downloads a data set and describes it; its images are then read directly from its files, as those in
shards are. No code that comes with a data set is ever run. The columns of images and labels are found by their types.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.data.build import Options
from striate.data.dataset import Dataset
from striate.data.images.ref_lists import PartsOfFiles, Texts
from striate.data.sources.arrow import read_rows
from striate.data.sources.folder import SPLITS
from striate.data.sources.labelled import Labelled, collect_labelled, named
from striate.errors import ArgumentError, DataError
from striate.units import listed

if TYPE_CHECKING:
    import datasets

PREFIX = "hf:"
_OLDEST = 4  # the first version of the library that runs no code of a data set
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` writes into a folder


class Columns(NamedTuple):
    """Names of the image and label columns, and the class names where the labels are numbers that have names."""

    image: str
    label: str
    classes: tuple[str, ...] | None


def load_hugging_face(source: str, options: Options | None = None) -> Dataset:
    """Load a Hugging Face data set: hf:OWNER/NAME, hf:OWNER/NAME/CONFIG, or hf:FOLDER for a saved one.

    A column of labels is chosen by #COLUMN at the end, where there are several.

    Raises:
        ArgumentError: if there is no such data set or column, or the library is not installed.
        DataError: if the data set can't be fetched, or its columns or splits are not those of images with labels.
        BadFilesError: naming the rows without an image, and those whose image can't be decoded, unless `skip_bad`.
    """
    options = options or Options()
    name, _, column = source.removeprefix(PREFIX).partition("#")
    if options.progress is not None:
        options.progress(f"fetching {source}", 0, 0)
    parts, notes = _by_split(source, _fetched(source, name, options.progress is not None))
    columns = _columns(source, parts, column)
    splits: dict[str, Labelled] = {}
    problems: dict[str, str] = {}
    for split, part in parts.items():
        samples, unlabelled = _samples(source, split, part, columns, problems)
        if unlabelled:
            where = "" if split == "all" else f" of {split}"
            notes.append(f"left out {unlabelled} of the {part.num_rows} rows{where}: they have no label")
        if samples.labels:
            splits[split] = samples
    if list(splits) == ["train"]:  # the others have no labels, or are not there
        splits = {"all": splits["train"]}
    if columns.classes is None:
        classes = named(source, (label for samples in splits.values() for label in samples.labels))
    else:
        classes = dict(enumerate(columns.classes))
    return collect_labelled(source, splits, classes, problems, options, notes)


def _fetched(source: str, name: str, progress_shown: bool) -> "Mapping[str, datasets.Dataset]":
    """Return the splits of the data set `name` under the names that it gives them.

    `progress_shown`: whether Striate shows progress itself, so that the library should not.
    """
    try:
        import datasets
    except ImportError as error:
        raise ArgumentError(
            f"{source}: data sets of Hugging Face need a library: pip install 'striate[huggingface]'."
        ) from error
    if int(datasets.__version__.split(".")[0]) < _OLDEST:
        raise ArgumentError(
            f"{source} needs the library datasets from version {_OLDEST} on, and {datasets.__version__} is installed: "
            "pip install --upgrade 'striate[huggingface]'."
        )
    folder = Path(name).expanduser()
    if not name or (name.startswith(("/", ".", "~")) and not folder.exists()):
        raise ArgumentError(f"{source}: there is no folder '{name}'. Names are like hf:OWNER/NAME or hf:FOLDER.")
    try:
        with _quiet(bars=progress_shown):
            if any((folder / file).is_file() for file in _SAVED):
                loaded = datasets.load_from_disk(str(folder), keep_in_memory=False)
            elif folder.exists():
                loaded = datasets.load_dataset(str(folder), keep_in_memory=False)
            else:
                owner, config = name.rsplit("/", 1) if name.count("/") == 2 else (name, None)
                loaded = datasets.load_dataset(owner, config, keep_in_memory=False)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise ArgumentError(
            f"{source}: there is no folder {name}, and no data set of this name on the Hugging Face Hub that you may "
            "read. Names are like hf:OWNER/NAME; for a private one, log in with `hf auth login`."
        ) from error
    except ConnectionError as error:
        raise DataError(
            f"{source} can't be fetched: {_line(error)}. Connect to the network and try again, or elsewhere save it "
            "with `datasets.load_dataset(…).save_to_disk('FOLDER')`, copy the folder here, and name it as hf:FOLDER."
        ) from error
    except Exception as error:  # the library passes on any error raised in it, and in a dozen others below
        raise DataError(f"{source} can't be loaded: {_line(error)}.") from error
    return loaded if isinstance(loaded, dict) else {"": loaded}


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@contextmanager
def _quiet(bars: bool) -> Iterator[None]:
    """Suppress the libraries' own warnings, such as one for each of five attempts to reach the network.

    Args:
        bars: whether to suppress their progress bars too.
    """
    import datasets
    import huggingface_hub.utils

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    shown = [each for each in (datasets, huggingface_hub.utils) if bars and not each.are_progress_bars_disabled()]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        for each in shown:
            each.disable_progress_bars()
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for each in shown:
            each.enable_progress_bars()


def _by_split(source: str, parts: "Mapping[str, datasets.Dataset]") -> "tuple[dict[str, datasets.Dataset], list[str]]":
    """Return the data by split, under "all" where there is only one, and notes on ignored parts."""
    if len(parts) == 1:
        return {"all": next(iter(parts.values()))}, []
    found: dict[str, str] = {}
    for name in parts:
        split = SPLITS.get(name.lower(), "")
        if split in found:
            raise DataError(f"{source} has both {found[split]} and {name}: save it again with one of them.")
        if split:
            found[split] = name
    if "train" not in found:
        raise DataError(f"{source} has {', '.join(parts)} but no train.")
    others = [name for name in parts if name not in found.values()]
    notes = [f"ignored parts other than train, val and test: {listed(others)}"] if others else []
    return {split: parts[found[split]] for split in ("train", "val", "test") if split in found}, notes


def _columns(source: str, parts: "Mapping[str, datasets.Dataset]", label: str) -> Columns:
    every = [chosen(source, part.features, label) for part in parts.values()]
    if any(columns != every[0] for columns in every):
        raise DataError(f"{source}: the columns of {' and '.join(parts)} differ, or their classes do.")
    return every[0]


def _samples(
    source: str, split: str, part: "datasets.Dataset", columns: Columns, problems: dict[str, str]
) -> tuple[Labelled, int]:
    """Return the samples of a part and the number of unlabelled rows; unusable rows are added to `problems`."""
    rows = [row for file in part.cache_files for row in read_rows(Path(file["filename"]), columns.image, columns.label)]
    if len(rows) != part.num_rows:
        raise DataError(f"{source} is not kept row by row: save it with `save_to_disk`, and name that folder.")
    image_refs, keys, labels, unlabelled = [], [], [], 0
    for number, (image_ref, label) in enumerate(rows):
        name = f"{source}: row {number}" + ("" if split == "all" else f" of {split}")
        if label is None or label == "" or (isinstance(label, int) and label < 0):
            unlabelled += 1
        elif columns.classes is not None and label not in range(len(columns.classes)):
            problems[name] = f"label {label} is none of the {len(columns.classes)} classes"
        elif image_ref is None:
            problems[name] = "no image"
        else:
            image_refs.append(image_ref)
            keys.append(f"{number:09}")
            labels.append(label)
    return Labelled(PartsOfFiles.of(image_refs), Texts.of(keys), labels), unlabelled


_IMAGES = ("image", "img")
_LABELS = ("label", "labels", "class")
_TEXTS = ("string", "large_string")


def chosen(source: str, features: Mapping[str, Any], label: str = "") -> Columns:
    """Choose the columns of images and labels by their types.

    Args:
        source: the data set's name in an error.
        features: the columns and their types, as the library `datasets` describes them.
        label: the column of labels, if it was named.

    Raises:
        ArgumentError: if there is no such column of labels, or one must be chosen.
        DataError: if there is no column of images, or none of labels.
    """
    import datasets

    listing = f"Its columns are {', '.join(f'{name} ({_kind(feature)})' for name, feature in features.items())}."
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    image = _only(images, _IMAGES)
    if image is None:
        raise DataError(f"{source} has {'several columns' if images else 'no column'} of images. {listing}")
    if label:
        if label not in features or not _may_label(features[label]):
            raise ArgumentError(f"{source}: there is no column {label} of classes, names or whole numbers. {listing}")
    else:
        label = _label(source, features, listing)
    names = features[label].names if isinstance(features[label], datasets.ClassLabel) else None
    return Columns(image, label, None if names is None else tuple(names))


def _label(source: str, features: Mapping[str, Any], listing: str) -> str:
    import datasets

    classes = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    others = [name for name in _LABELS if name in features and _may_label(features[name])]
    label = _only(classes, _LABELS) if classes else _only(others, _LABELS)
    if label is not None:
        return label
    if classes:
        raise ArgumentError(
            f"{source} has several columns of classes, {', '.join(classes)}: choose one, as in {source}#{classes[0]}"
        )
    raise DataError(
        f"{source} has no column of classes, and none called label: name one as in {source}#COLUMN. {listing}"
    )


def _only(names: list[str], usual: tuple[str, ...]) -> str | None:
    """Return the only name, or the first usual name among several; None if there is neither."""
    fitting = names if len(names) == 1 else [name for name in usual if name in names]
    return fitting[0] if fitting else None


def _may_label(feature: object) -> bool:
    import datasets

    if isinstance(feature, datasets.Value):
        return feature.dtype in _TEXTS or feature.dtype.lstrip("u").startswith("int")
    return isinstance(feature, datasets.ClassLabel)


def _kind(feature: Any) -> str:
    import datasets

    return str(feature.dtype) if isinstance(feature, datasets.Value) else type(feature).__name__
