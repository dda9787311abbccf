"""Building a data set from a plan: the image references and labels of each split, from folders, shards or tables."""

import gc
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from striate.data.cache import Cache, cached_headers, settled
from striate.data.dataset import Dataset, Split, is_mirrorable
from striate.data.images.decoder_pool import Decoders
from striate.data.images.image_ref import Header, ImageRef, read_headers
from striate.data.images.ref_lists import Labels, RefList, WholeFiles, joined
from striate.data.lazy import Images, LazyImages
from striate.data.reader import IN_MEMORY, Reader
from striate.data.stamps import Stamps, stamps_of
from striate.errors import BadFilesError, DataError
from striate.hardware import keep_memory, worker_count
from striate.preprocess import Fit, Preprocess
from striate.processes import world
from striate.resizing import Interpolation
from striate.types import Progress
from striate.units import listed, plural

_LARGEST_OWN_SIZE = 224
_SOME, _DARK = 64, 64  # images that are looked at, and the brightest pixel of 255 that is remarkable
_SIZE = (64, 64)
_LARGEST_IMAGE = 2**30  # bytes
_FEW_FILES, _FEW_BYTES = 2000, 16 * 2**20


class Part(NamedTuple):
    """The images of a split, and their labels: int64 (N,)."""

    image_refs: RefList
    labels: np.ndarray


Plan = Mapping[str, Part]  # by split


@dataclass(frozen=True)
class Options:
    """Loading options; see `load` for their meaning.

    Args:
        size: height and width, or None.
        channels, fit, crop, interpolation, skip_bad, progress: as in `load`.
        cache_size: in bytes; None for the default.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    fit: Fit = "letterbox"
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"
    skip_bad: bool = False
    cache_size: int | None = None
    progress: Progress | None = None

    def preprocess(self, size: tuple[int, int], channels: int) -> Preprocess:
        """The resizing to this size and these channels."""
        return Preprocess.resizing(size, channels, self.fit, self.crop, self.interpolation)


def collect(
    source: str,
    classes: Sequence[str],
    plan: Plan,
    options: Options,
    *,
    notes: Sequence[str] = (),
    divided: bool = False,
) -> Dataset:
    """Decode the images of a plan into a data set.

    Args:
        source: the data set's name.
        classes: the names; the plan's labels are positions in it.
        plan: the images of "train" and, where there are any, "val" and "test".
        options: loading options.
        notes: notes that precede those made here.
        divided: whether Striate itself chose which images are held out; a note then says so.

    Raises:
        DataError: if a class has no usable image to train on.
        BadFilesError: naming every image that can't be decoded, unless `skip_bad`.
    """
    keep_memory()  # before the first thread
    messages = list(notes)
    with without_collection():
        stamps = _stamps(plan)
        reader, stamps, problems = _reader(classes, plan, stamps, options, messages)
    names = [name for name in ("train", "val", "test") if name in plan and len(plan[name].labels)]
    try:
        splits = {name: _read_split(name, plan[name], stamps[name], problems, reader) for name in names}
    except BaseException:
        reader.decoders.close()  # or the program could not end before pending images are decoded
        raise
    if not any(isinstance(split.images, LazyImages) for split in splits.values()):
        reader.decoders.close()
    messages += reader.notes
    skipped = {
        image_ref.label: problems[image_ref] for image_ref in sorted(problems, key=lambda image_ref: image_ref.label)
    }
    if skipped and not options.skip_bad:
        raise BadFilesError(skipped)
    _demand_every_class(source, classes, splits.get("train"))
    messages += darkness_notes(splits["train"].images)
    mirror = is_mirrorable(classes)
    counts = {name: split.labels.bincount(minlength=len(classes)).tolist() for name, split in splits.items()}
    closing = result_notes(classes, counts, len(skipped), split=divided, mirror=mirror)
    val, test = (split if split is not None and len(split) else None for split in map(splits.get, ("val", "test")))
    messages += closing
    return Dataset(
        source,
        tuple(classes),
        splits["train"],
        val,
        test,
        mirror,
        tuple(messages),
        skipped,
        options.fit,
        options.crop,
        options.interpolation,
        divided=divided,
    )


@contextmanager
def without_collection() -> Iterator[None]:
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


def _stamps(plan: Plan) -> dict[str, Stamps]:
    """The stamps of each split; processes that work together look at a share of the files each."""
    parts = [part.image_refs for part in plan.values()]
    stamps = stamps_of(joined(parts), world())
    starts = np.cumsum([0, *map(len, parts)])
    return {
        name: Stamps(part, stamps.sizes[start : start + len(part)], stamps.changes[start : start + len(part)])
        for name, part, start in zip(plan, parts, starts, strict=False)
    }


def _reader(
    classes: Sequence[str], plan: Plan, stamps: dict[str, Stamps], options: Options, messages: list[str]
) -> tuple[Reader, dict[str, Stamps], dict[ImageRef, str]]:
    """Return the reader for these options, the stamps, and the reason for each image whose header is already bad.

    Decisions made on the way are added to `messages`.
    """
    images = sum(len(part.labels) for part in plan.values())
    quick = images < _FEW_FILES and sum(each.bytes for each in stamps.values()) < _FEW_BYTES  # a second or two at most
    cache = None if quick else _cache(options, messages)
    if cache is not None:
        stamps = settled(stamps)
    preprocess, problems = _preprocess(plan, stamps, cache, options, messages)
    if quick and images * _image_bytes(preprocess) > IN_MEMORY:
        quick, cache = False, _cache(options, messages)
        stamps = settled(stamps)
    decoders = Decoders(preprocess, worker_count(images), processes=not quick)
    return Reader(classes, decoders, cache, options.skip_bad, options.progress), stamps, problems


def _cache(options: Options, messages: list[str]) -> Cache | None:
    """Return the cache, or None if it is disabled or can't be used; the latter is added to `messages`."""
    try:
        return None if options.cache_size == 0 else Cache(options.cache_size)
    except OSError as error:
        messages.append(f"decoded images are not cached: the cache can't be used ({error})")
        return None


def _preprocess(
    plan: Plan,
    stamps: Mapping[str, Stamps],
    cache: Cache | None,
    options: Options,
    messages: list[str],
) -> tuple[Preprocess, dict[ImageRef, str]]:
    """Return the target size and channels, and the reason for each bad header; decisions are added to `messages`.

    The headers are read only where the size or the channels depend on them.
    """
    size, channels = options.size, options.channels
    if size is not None and channels is not None:
        return options.preprocess(size, channels), {}
    image_refs = joined([part.image_refs for part in plan.values()])
    if cache is None:
        headers, problems = read_headers(image_refs, options.progress)
    else:
        headers, problems = cached_headers(image_refs, stamps.values(), cache, options.progress)
    preprocess = _inferred(headers, options)
    messages += image_notes(headers, preprocess, size, channels)
    return preprocess, problems


def _inferred(headers: Collection[Header], options: Options) -> Preprocess:
    size, channels = options.size, options.channels
    if size is None:
        sizes = {(header.height, header.width) for header in headers}
        own = len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE
        size = sizes.pop() if own else _SIZE
    if channels is None:
        channels = max((header.channels for header in headers), default=1)
    return options.preprocess(size, channels)


def _image_bytes(preprocess: Preprocess) -> int:
    """Return the size of one decoded image in bytes.

    Raises:
        DataError: if it is more than 1 GiB.
    """
    size = preprocess.height * preprocess.width * preprocess.channels
    if size > _LARGEST_IMAGE:
        raise DataError(f"an image would need {size / 2**30:.1f} GiB of memory: choose a smaller size.")
    return size


def _read_split(name: str, part: Part, stamps: Stamps, problems: dict[ImageRef, str], reader: Reader) -> Split:
    """Read the decodable images of a split; the reasons for the others are added to `problems`."""
    good = _good(part.image_refs, problems)
    (image_refs, labels), stamps = _chosen(part, good), stamps if good is None else stamps.chosen(good)
    images, bad, stats = reader.read(name, image_refs, stamps, torch.from_numpy(labels))
    problems.update(bad)
    image_refs, labels = _chosen(Part(image_refs, labels), _good(image_refs, bad))
    files = tuple(image_refs.paths) if isinstance(image_refs, WholeFiles) else Labels(image_refs)
    return Split(images, torch.from_numpy(labels), files, stats, _places(image_refs))


def _good(image_refs: RefList, problems: Mapping[ImageRef, str]) -> np.ndarray | None:
    """The positions of the images without a problem; `None` if that are all."""
    if not problems:
        return None
    good = np.flatnonzero([image_ref not in problems for image_ref in image_refs])
    return good if len(good) < len(image_refs) else None


def _chosen(part: Part, positions: np.ndarray | None) -> Part:
    return part if positions is None else Part(part.image_refs.chosen(positions), part.labels[positions])


def _places(image_refs: RefList) -> torch.Tensor | None:
    """The `places` of a `Split`: file and offset of each image; `None` for images in files of their own."""
    if not image_refs or isinstance(image_refs, WholeFiles) or not image_refs.are_parts:
        return None
    _, first, numbers = np.unique(image_refs.numbers, return_index=True, return_inverse=True)
    as_they_come = first.argsort().argsort()[numbers]
    return torch.from_numpy(np.stack([as_they_come, image_refs.offsets], axis=1))


def _demand_every_class(source: str, classes: Sequence[str], train: Split | None) -> None:
    present = set() if train is None else set(train.labels.tolist())
    if lacking := [name for label, name in enumerate(classes) if label not in present]:
        raise DataError(f"{source}: no training image of {', '.join(lacking)} can be decoded.")


def image_notes(
    headers: Counter[Header], preprocess: Preprocess, size: tuple[int, int] | None, channels: int | None
) -> list[str]:
    """Return notes on the chosen size and channels, where `size` or `channels` was not given. Sizes: width×height."""
    notes = []
    sizes = sorted(
        {(header.width, header.height) for header in headers}, key=lambda sides: (sides[0] * sides[1], sides)
    )
    goal = f"{preprocess.width}×{preprocess.height}"
    if size is None and sizes and sizes != [(preprocess.width, preprocess.height)]:
        smallest, largest = (f"{width}×{height}" for width, height in (sizes[0], sizes[-1]))
        found = f"the images are {largest}" if len(sizes) == 1 else f"the images differ, from {smallest} to {largest}"
        notes.append(f"{found} pixels: resized to {goal} by {preprocess.fit}; --image-size sets another size")
    grey = sum(count for header, count in headers.items() if header.channels == 1)
    if channels is None and 0 < grey < headers.total():
        notes.append(f"{grey} of {headers.total()} images are grey: all are converted to 3 channels")
    elif channels is None and grey:
        notes.append("all images are grey: 1 channel")
    if deep := sum(count for header, count in headers.items() if header.bits > 8):
        notes.append(f"{deep} of {headers.total()} images have more than 8 bits a channel: they are reduced to 8")
    return notes


def darkness_notes(images: Images) -> list[str]:
    """Return a note if all of some images are so dark that their numbers are probably not what their files say.

    Cameras of 12 bits write files of 16 bits, in which their white is a 16th of white; of its shades 16 are left.
    """
    some = torch.linspace(0, len(images) - 1, min(len(images), _SOME)).long()
    brightest = int(images[some].max()) if len(some) and not isinstance(images, LazyImages) else 255
    if brightest > _DARK:
        return []
    return [
        f"no pixel of {len(some)} training images is brighter than {brightest} of 255: if fewer bits than the files "
        "have are in use (12 in 16, say), scale the values up"
    ]


def result_notes(
    classes: Sequence[str], counts: Mapping[str, Sequence[int]], skipped: int, *, split: bool, mirror: bool
) -> list[str]:
    """Return notes on skipped files, on mirroring, and on the split if Striate made it.

    Args:
        classes: their names.
        counts: the number of images of each class, by split.
        skipped: how many files were left out.
        split: whether Striate split the images.
        mirror: whether images may be mirrored.
    """
    notes = []
    if skipped:
        notes.append(f"left out {plural(skipped, 'file')} that can't be decoded")
    if split:
        totals = ", ".join(f"{sum(counts[name])} {name}" for name in ("train", "val", "test") if name in counts)
        notes.append(f"split class by class: {totals} images; file names alone decide, so the split is reproducible")
        tested = counts.get("test", [0] * len(classes))
        if lacking := [name for name, count in zip(classes, tested, strict=True) if not count]:
            notes.append(f"too few images to hold one out for testing: {listed(lacking)}")
    if not mirror:
        notes.append("the classes are digits or letters: augmentation does not mirror images")
    return notes
