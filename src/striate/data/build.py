"""From a plan, which says where each image of each split lies, to a data set: what folders and shards share."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from striate.data.cache.decoded import Cache, settled
from striate.data.dataset import Dataset, Split, is_mirrorable, target
from striate.data.headers import Header, known_headers, read_headers
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import Entry, Stamp
from striate.data.lazy import LazyImages
from striate.data.reader import IN_MEMORY, Reader
from striate.errors import BadFilesError, DataError
from striate.hardware import keep_memory, worker_count
from striate.preprocess import Fit, Preprocess
from striate.types import Progress
from striate.units import listed, plural

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
    mirror = is_mirrorable(classes)
    counts = {name: split.labels.bincount(minlength=len(classes)).tolist() for name, split in splits.items()}
    closing = of_result(classes, counts, len(skipped), split=divided, mirror=mirror)
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
    told += of_images(headers, preprocess, size, channels)
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


def of_images(
    headers: Counter[Header], preprocess: Preprocess, size: tuple[int, int] | None, channels: int | None
) -> list[str]:
    """About the size and the channels, where `size` or `channels` was not given. Sizes are width×height."""
    said = []
    sizes = sorted(
        {(header.width, header.height) for header in headers}, key=lambda sides: (sides[0] * sides[1], sides)
    )
    goal = f"{preprocess.width}×{preprocess.height}"
    if size is None and sizes and sizes != [(preprocess.width, preprocess.height)]:
        smallest, largest = (f"{width}×{height}" for width, height in (sizes[0], sizes[-1]))
        found = f"the images are {largest}" if len(sizes) == 1 else f"the images differ, from {smallest} to {largest}"
        said.append(f"{found} pixels: brought to {goal} by {preprocess.fit}; --image-size sets another size")
    grey = sum(count for header, count in headers.items() if header.channels == 1)
    if channels is None and 0 < grey < headers.total():
        said.append(f"{grey} of {headers.total()} images are grey: all are brought to 3 channels")
    elif channels is None and grey:
        said.append("all images are grey: 1 channel")
    return said


def of_result(
    classes: Sequence[str], counts: Mapping[str, Sequence[int]], skipped: int, *, split: bool, mirror: bool
) -> list[str]:
    """About files left out, mirroring, and how the images were split if it was done for the user.

    Args:
        classes: their names.
        counts: by split, how many images each class has.
        skipped: how many files were left out.
        split: whether the images were split for the user.
        mirror: whether images may be mirrored.
    """
    said = []
    if skipped:
        said.append(f"left out {plural(skipped, 'file')} that can't be decoded")
    if split:
        totals = ", ".join(f"{sum(counts[name])} {name}" for name in ("train", "val", "test") if name in counts)
        said.append(f"split class by class: {totals} images; each file's name decides, so it is the same next time")
        tested = counts.get("test", [0] * len(classes))
        if lacking := [name for name, count in zip(classes, tested, strict=True) if not count]:
            said.append(f"too few images to hold one out for test: {listed(lacking)}")
    if not mirror:
        said.append("the classes are digits or letters: images are not mirrored for variation")
    return said
