"""From a plan, which says where each image of each split lies, to a data set: what folders and shards share."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from striate.data import notes
from striate.data.cache.decoded import Cache, settled
from striate.data.dataset import Dataset, Split, target
from striate.data.headers import Header, known_headers, read_headers
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import Entry, Stamp
from striate.data.lazy import LazyImages
from striate.data.reader import IN_MEMORY, Reader
from striate.data.splits import hold_out
from striate.errors import BadFilesError, DataError
from striate.hardware import keep_memory, worker_count
from striate.preprocess import Fit, Preprocess
from striate.types import Progress
from striate.units import listed

_LARGEST_OWN_SIZE = 224
_SIZE = (64, 64)
_LARGEST_IMAGE = 2**30  # bytes
_FEW_FILES, _FEW_BYTES = 2000, 16 * 2**20

Plan = Mapping[str, Sequence[tuple[Entry, int]]]  # by split, images and their labels


@dataclass(frozen=True)
class Options:
    """How images were asked for; what each means, `load` says.

    Args:
        size: height and width, or None.
        channels, fit, skip_bad, progress: as in `load`.
        cache_size: in bytes; None for the usual one.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: Fit = "letterbox"
    skip_bad: bool = False
    cache_size: int | None = None
    progress: Progress | None = None


def collect(
    source: str,
    classes: Sequence[str],
    plan: Plan,
    options: Options,
    *,
    said: Sequence[str] = (),
    divided: bool = False,
) -> Dataset:
    """The images of a plan as a data set.

    Args:
        source: what the data set is called.
        classes: the names; the plan's labels are positions in it.
        plan: the images of "train" and, where there are any, "val" and "test".
        options: how they were asked for.
        said: notes that come before those made here.
        divided: whether Striate itself chose which images are held out; a note says so then.

    Raises:
        DataError: if a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    keep_memory()  # before the first thread
    told = list(said)
    reader, problems = _reader(classes, plan, options, told)
    names = [name for name in ("train", "val", "test") if plan.get(name)]
    try:
        splits = {name: _read_split(name, plan[name], problems, reader) for name in names}
    except BaseException:
        reader.decoders.close()  # or the program could not end before what is begun is decoded
        raise
    if not any(isinstance(split.images, LazyImages) for split in splits.values()):
        reader.decoders.close()
    told += reader.notes
    skipped = {entry.label: problems[entry] for entry in sorted(problems, key=lambda entry: entry.label)}
    if skipped and not options.skip_bad:
        raise BadFilesError(skipped)
    _demand_every_class(source, classes, splits.get("train"))
    mirror = not all(name.isdigit() or (len(name) == 1 and name.isalpha()) for name in classes)
    counts = {name: split.labels.bincount(minlength=len(classes)).tolist() for name, split in splits.items()}
    closing = notes.of_result(classes, counts, len(skipped), split=divided, mirror=mirror)
    val, test = (split if split is not None and len(split) else None for split in map(splits.get, ("val", "test")))
    told += closing
    return Dataset(
        source, tuple(classes), splits["train"], val, test, mirror, tuple(told), skipped, options.fit, divided=divided
    )


def _reader(classes: Sequence[str], plan: Plan, options: Options, told: list[str]) -> tuple[Reader, dict[Entry, str]]:
    """What reads the images as they were asked for, and the reasons of those whose headers are bad already.

    What is decided on the way is added to `told`.
    """
    entries = [entry for part in plan.values() for entry, _ in part]
    stamps: Mapping[Entry, Stamp] = {entry: entry.stamp for entry in entries}
    quick = _is_quick(stamps)
    cache = None if quick else _cache(options, told)
    if cache is not None:
        stamps = settled(stamps)
    preprocess, problems = _preprocess(entries, stamps, cache, options, told)
    size = len(entries) * _image_bytes(preprocess)
    if quick and size > IN_MEMORY:
        quick, cache = False, _cache(options, told)
        stamps = settled(stamps)
    decoders = Decoders(preprocess, worker_count(len(entries)), processes=not quick)
    return Reader(classes, decoders, stamps, cache, options.skip_bad, options.progress), problems


def _is_quick(stamps: Mapping[Entry, Stamp]) -> bool:
    """Whether decoding takes a second or two, so that neither processes nor a cache are worth their trouble."""
    return len(stamps) < _FEW_FILES and sum(stamp[4] or stamp[1] for stamp in stamps.values()) < _FEW_BYTES


def _cache(options: Options, told: list[str]) -> Cache | None:
    """The cache, or None if there is to be none; if there can be none, `told` says so."""
    try:
        return None if options.cache_size == 0 else Cache(options.cache_size)
    except OSError as error:
        told.append(f"decoded images are not kept: the cache can't be used ({error})")
        return None


def _preprocess(
    entries: Sequence[Entry], stamps: Mapping[Entry, Stamp], cache: Cache | None, options: Options, told: list[str]
) -> tuple[Preprocess, dict[Entry, str]]:
    """What to bring the images to, and the reasons of those whose headers are bad; `told` says what was decided.

    The headers are read only where they have something to decide.
    """
    size, channels, fit = options.size, options.channels, options.fit
    if size is not None and channels is not None:
        return target(size, channels, fit), {}
    if cache is None:
        headers, problems = read_headers(entries, options.progress)
    else:
        headers, problems = known_headers(entries, stamps, cache, options.progress)
    preprocess = _inferred(headers, size, channels, fit)
    told += notes.of_images(headers, preprocess, size, channels)
    return preprocess, problems


def _inferred(headers: Collection[Header], size: tuple[int, int] | None, channels: int | None, fit: Fit) -> Preprocess:
    if size is None:
        sizes = {(header.height, header.width) for header in headers}
        own = len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE
        size = sizes.pop() if own else _SIZE
    if channels is None:
        channels = max((header.channels for header in headers), default=1)
    return target(size, channels, fit)


def _image_bytes(preprocess: Preprocess) -> int:
    """The bytes of one image.

    Raises:
        DataError: if no memory would hold it.
    """
    size = preprocess.height * preprocess.width * preprocess.channels
    if size > _LARGEST_IMAGE:
        raise DataError(f"an image would need {size / 2**30:.1f} GiB of memory: choose a smaller size.")
    return size


def _read_split(name: str, part: Sequence[tuple[Entry, int]], problems: dict[Entry, str], reader: Reader) -> Split:
    """The images of a split that can be decoded; the reasons of those that can't are added to `problems`."""
    part = [(entry, label) for entry, label in part if entry not in problems]
    labels = torch.tensor([label for _, label in part], dtype=torch.int64)
    images, bad, known = reader.read(name, [entry for entry, _ in part], labels)
    good = [position for position, (entry, _) in enumerate(part) if entry not in bad]
    problems.update(bad)
    return Split(images, labels[good], tuple(part[position][0].label for position in good), known)


def _demand_every_class(source: str, classes: Sequence[str], train: Split | None) -> None:
    present = set() if train is None else set(train.labels.tolist())
    if lacking := [name for label, name in enumerate(classes) if label not in present]:
        raise DataError(f"{source}: no image to train on is left of {', '.join(lacking)}; the others can't be decoded.")


Label = int | str


class Labelled(NamedTuple):
    """One sample.

    Args:
        entry: where its image lies.
        key: what tells it apart from the others, the same on every machine.
        label: its class: a number, or a name.
    """

    entry: Entry
    key: str
    label: Label


def named(source: str, labels: Iterable[Label]) -> dict[Label, str]:
    """The classes that occur and their names, in order: names in plain string order, or numbers from the lowest up.

    Args:
        source: what to call the data set in an error.
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
    splits: Mapping[str, Sequence[Labelled]],
    classes: Mapping[Label, str],
    problems: Mapping[str, str],
    options: Options,
    said: Sequence[str] = (),
) -> Dataset:
    """The samples as a data set.

    Args:
        source, options, said: as for `collect`.
        splits, classes: as for `planned`.
        problems: the samples that can't be used, each with the reason.

    Raises:
        DataError: if there is nothing of a class to train on.
        BadFilesError: naming every sample that can't be used, unless `skip_bad`.
    """
    if problems and not options.skip_bad:
        raise BadFilesError(dict(problems))
    if problems:
        said = [*said, f"left out {len(problems)} sample{'s' if len(problems) != 1 else ''} without image or label"]
    plan = planned(source, splits, classes)
    loaded = collect(source, tuple(classes.values()), plan, options, said=said, divided="all" in splits)
    return replace(loaded, skipped=dict(problems) | loaded.skipped)


def planned(
    source: str, splits: Mapping[str, Sequence[Labelled]], classes: Mapping[Label, str]
) -> dict[str, list[tuple[Entry, int]]]:
    """Which images go into which split, with their classes' positions; in each, sorted by class and key.

    Args:
        source: what to call the data set in an error.
        splits: the samples of each split. Those under the key "all" are divided here, class by class.
        classes: the name of each label, in the order of their positions.

    Raises:
        DataError: if there is nothing of a class to train on.
    """
    plan: dict[str, list[tuple[Entry, int]]] = {}
    for split, samples in splits.items():
        for position, part in enumerate(_by_class(samples, classes)):
            places = hold_out([sample.key for sample in part]) if split == "all" else [split] * len(part)
            for sample, place in zip(part, places, strict=True):
                plan.setdefault(place, []).append((sample.entry, position))
    if not plan.get("train"):
        raise DataError(f"{source}: no image with a label to train on.")
    trained = {position for _, position in plan.get("train", ())}
    if lacking := [name for position, name in enumerate(classes.values()) if position not in trained]:
        raise DataError(f"{source}: no image to train on of {listed(lacking)}.")
    return plan


def _by_class(samples: Sequence[Labelled], labels: Iterable[Label]) -> list[list[Labelled]]:
    parts: dict[Label, list[Labelled]] = {label: [] for label in labels}
    for sample in samples:
        parts[sample.label].append(sample)
    return [sorted(part, key=lambda sample: sample.key.split("/")) for part in parts.values()]
