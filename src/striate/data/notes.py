"""What was decided for the user about a folder of images, in sentences to be said aloud."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from striate.data.headers import Header
from striate.preprocess import Preprocess
from striate.units import listed, readable


def of_layout(others: Counter[str], ignored: Sequence[str]) -> list[str]:
    """About files and folders that were passed over."""
    said = []
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        said.append(f"passed over {_files(others.total())}: {kinds}")
    if ignored:
        said.append(f"passed over folders beside train: {listed(ignored)}")
    return said


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
        said.append(f"left out {_files(skipped)} that can't be decoded")
    if split:
        totals = ", ".join(f"{sum(counts[name])} {name}" for name in ("train", "val", "test") if name in counts)
        said.append(f"split class by class: {totals} images; each file's name decides, so it is the same next time")
        tested = counts.get("test", [0] * len(classes))
        if lacking := [name for name, count in zip(classes, tested, strict=True) if not count]:
            said.append(f"too few images to hold one out for test: {listed(lacking)}")
    if not mirror:
        said.append("the classes are digits or letters: images are not mirrored for variation")
    return said


def of_places(made: Mapping[str, int], folder: Path, asked: Mapping[str, int], workers: int, why: str) -> list[str]:
    """About where decoded images are.

    Args:
        made: by split, the bytes of the images that were decoded into the cache.
        folder: the cache.
        asked: by split, the bytes of those that are decoded whenever they are asked for.
        workers: how many processes decode them.
        why: why they are not in the cache.
    """
    said = []
    if made:
        said.append(
            f"kept {readable(sum(made.values()))} of decoded images in {folder}; --cache-size limits that folder"
        )
    if asked:
        by = f"{workers} processes" if workers > 1 else "1 process"
        size = readable(sum(asked.values()))
        said.append(f"the images of {', '.join(asked)} ({size} decoded) are decoded in every epoch, by {by}: {why}")
    return said


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"
