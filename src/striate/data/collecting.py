"""From a plan, which says where each image of each split lies, to a data set: what folders and shards share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from striate.data import notes
from striate.data.conform import target
from striate.data.dataset import Dataset, Split
from striate.data.entries import Entry
from striate.data.places import Progress
from striate.data.reading import Header, read_headers, read_images
from striate.errors import BadFilesError, DataError
from striate.preprocess import Fit, Preprocess

_LARGEST_OWN_SIZE = 224
_SIZE = (64, 64)

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
    preprocess, problems, told = _preprocess(plan, options)
    splits = {name: _read_split(name, part, problems, preprocess, options) for name, part in plan.items()}
    skipped = {entry.label: problems[entry] for entry in sorted(problems, key=lambda entry: entry.label)}
    if skipped and not options.skip_bad:
        raise BadFilesError(skipped)
    _demand_every_class(source, classes, splits["train"])
    mirror = not all(name.isdigit() or (len(name) == 1 and name.isalpha()) for name in classes)
    counts = {name: split.labels.bincount(minlength=len(classes)).tolist() for name, split in splits.items()}
    closing = notes.of_result(classes, counts, len(skipped), split=divided, mirror=mirror)
    val, test = (split if split is not None and len(split) else None for split in map(splits.get, ("val", "test")))
    told = [*said, *told, *closing]
    return Dataset(source, tuple(classes), splits["train"], val, test, mirror, tuple(told), skipped, options.fit)


def _preprocess(plan: Plan, options: Options) -> tuple[Preprocess, dict[Entry, str], list[str]]:
    """What to bring the images to, the reasons of those whose headers are bad, and what to say about it.

    The headers are read only where they have something to decide.
    """
    size, channels, fit = options.size, options.channels, options.fit
    if size is not None and channels is not None:
        return target(size, channels, fit), {}, []
    entries = [entry for part in plan.values() for entry, _ in part]
    headers, problems = read_headers(entries, options.progress)
    preprocess = _inferred(headers, size, channels, fit)
    return preprocess, problems, notes.of_images(headers, preprocess, size, channels)


def _inferred(headers: list[Header], size: tuple[int, int] | None, channels: int | None, fit: Fit) -> Preprocess:
    if size is None:
        sizes = {(header.height, header.width) for header in headers}
        own = len(sizes) == 1 and max(max(sizes)) <= _LARGEST_OWN_SIZE
        size = sizes.pop() if own else _SIZE
    if channels is None:
        channels = max((header.channels for header in headers), default=1)
    return target(size, channels, fit)


def _read_split(
    name: str,
    part: Sequence[tuple[Entry, int]],
    problems: dict[Entry, str],
    preprocess: Preprocess,
    options: Options,
) -> Split:
    """The images of a split that can be decoded; the reasons of those that can't are added to `problems`."""
    part = [(entry, label) for entry, label in part if entry not in problems]
    images, bad = read_images([entry for entry, _ in part], preprocess, f"decoding {name}", options.progress)
    labels = torch.tensor([label for _, label in part], dtype=torch.int64)
    good = [position for position, (entry, _) in enumerate(part) if entry not in bad]
    problems.update(bad)
    if bad:
        images, labels = images[good], labels[good]
    return Split(images, labels, tuple(part[position][0].label for position in good))


def _demand_every_class(source: str, classes: Sequence[str], train: Split) -> None:
    present = set(train.labels.tolist())
    if lacking := [name for label, name in enumerate(classes) if label not in present]:
        raise DataError(f"{source}: no image to train on is left of {', '.join(lacking)}; the others can't be decoded.")
