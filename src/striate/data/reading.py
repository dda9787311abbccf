"""Many image files at once, by threads: first their headers, then their pixels into one array."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from striate.data.decode import UndecodableError, decode, probe
from striate.data.entries import Entry
from striate.data.places import Progress
from striate.errors import DataError
from striate.preprocess import Preprocess

_CHUNK = 32  # files a task: few enough to show progress, enough that a million files don't mean a million tasks

Result = TypeVar("Result")


class Header(NamedTuple):
    """What a file's header says of its image."""

    width: int
    height: int
    channels: int


def read_headers(entries: Sequence[Entry], progress: Progress | None = None) -> tuple[list[Header], dict[Entry, str]]:
    """The headers of the images that have one, and the reasons of those that don't."""
    problems: dict[Entry, str] = {}

    def header(entry: Entry) -> Header | None:
        try:
            return Header(*probe(entry.source))
        except UndecodableError as error:
            problems[entry] = error.reason
            return None

    found = each_of(header, entries, "reading headers", progress)
    return [each for each in found if each is not None], problems


def read_images(
    entries: Sequence[Entry], preprocess: Preprocess, what: str, progress: Progress | None = None
) -> tuple[torch.Tensor, dict[Entry, str]]:
    """All images, conformed.

    Args:
        entries: N images.
        preprocess: the size and channels to bring them to.
        what: what to call the work when telling of its progress.
        progress: see `load`.

    Returns:
        uint8 (N, height, width, channels), and the reasons of the images that can't be decoded, whose places in the
        array hold nothing of use.

    Raises:
        DataError: if there is not memory enough.
    """
    shape = (len(entries), preprocess.height, preprocess.width, preprocess.channels)
    try:
        images = np.empty(shape, dtype=np.uint8)
    except MemoryError as error:
        gibibytes = np.prod(shape, dtype=float) / 2**30
        raise DataError(f"{len(entries)} images need {gibibytes:.1f} GiB of memory: choose a smaller size.") from error
    problems: dict[Entry, str] = {}

    def fill(numbered: tuple[int, Entry]) -> None:
        position, entry = numbered
        try:
            images[position] = preprocess.conform(decode(entry.source))
        except UndecodableError as error:
            problems[entry] = error.reason

    each_of(fill, list(enumerate(entries)), what, progress)
    return torch.from_numpy(images), problems


def each_of(
    function: Callable[..., Result], items: Sequence[object], what: str, progress: Progress | None
) -> list[Result]:
    """`function` of every item, in order, computed by as many threads as there are cores."""
    results: list[Result] = []
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for chunk in pool.map(lambda part: [function(item) for item in part], chunks):
                results += chunk
                if progress is not None:
                    progress(what, len(results), len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for all that is left
            raise
    return results
