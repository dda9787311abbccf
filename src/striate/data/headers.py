"""Image headers, read by several threads or taken from the cache: sizes and channels of many images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from striate.data.cache.decoded import Cache, key_of
from striate.data.images.decode import UndecodableError, probe
from striate.data.images.image_ref import ImageRef, Stamp
from striate.errors import StorageError
from striate.hardware import worker_count
from striate.types import Progress

_TASK = 32


class Header(NamedTuple):
    """Width, height and channels of an image, from its file's header."""

    width: int
    height: int
    channels: int


Found = tuple[Counter[Header], dict[ImageRef, str]]


def read_headers(image_refs: Sequence[ImageRef], progress: Progress | None = None) -> Found:
    """Count how often each header occurs, and return the reason for each image whose header can't be read."""
    headers: Counter[Header] = Counter()
    problems: dict[ImageRef, str] = {}
    tasks = [image_refs[start : start + _TASK] for start in range(0, len(image_refs), _TASK)]
    done = 0
    with ThreadPoolExecutor(worker_count(len(image_refs))) as pool:
        try:
            for task, (found, bad) in zip(tasks, pool.map(_probed, tasks), strict=True):
                headers.update(found)
                problems |= bad
                done += len(task)
                if progress is not None:
                    progress("reading headers", done, len(image_refs))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for all that is left
            raise
    return headers, problems


def cached_headers(
    image_refs: Sequence[ImageRef], stamps: Mapping[ImageRef, Stamp], cache: Cache, progress: Progress | None = None
) -> Found:
    """Return `read_headers` from the cache if no image has changed; bad images are tried again."""
    key = key_of("headers", [stamps[image_ref] for image_ref in image_refs])
    with suppress(KeyError, TypeError, ValueError):  # no entry, or one that this version did not write
        about = cache.store.about(key)
        kept = Counter({Header(*each): count for *each, count in about["headers"]})
        headers, problems = read_headers([image_refs[position] for position in about["bad"]])
        if not headers:
            return kept, problems
    headers, problems = read_headers(image_refs, progress)
    bad_ones = [position for position, image_ref in enumerate(image_refs) if image_ref in problems]
    with suppress(StorageError):  # the next start takes a little longer
        cache.store.note(key, {"headers": [[*each, count] for each, count in headers.items()], "bad": bad_ones})
    return headers, problems


def _probed(image_refs: Sequence[ImageRef]) -> tuple[list[Header], dict[ImageRef, str]]:
    headers, problems = [], {}
    for image_ref in image_refs:
        try:
            headers.append(Header(*probe(image_ref.source)))
        except UndecodableError as error:
            problems[image_ref] = error.reason
    return headers, problems
