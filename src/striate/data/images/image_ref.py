"""References to images on disk, files of their own or byte ranges of tar or Arrow files, and their headers."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from striate.data.images.decode import UndecodableError, header
from striate.files import open_regular
from striate.hardware import worker_count
from striate.types import Progress

_TASK = 32  # images whose headers a thread reads at a time

Stamp = tuple[str, int, int, int, int | None]


class ImageRef(NamedTuple):
    """Location of one image that is not decoded yet; there may be millions of them.

    Args:
        path: the file; as text where there are very many, which takes a third of the memory.
        offset, length: the byte range of the image in the file; without a length, the whole file.
        name: the name of the part in the file; empty for a whole file.
    """

    path: str | Path
    offset: int = 0
    length: int | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """The image's name in messages."""
        return f"{self.path}: {self.name}" if self.name else str(self.path)

    @property
    def source(self) -> str | Path | bytes:
        """The argument for `decode` and `probe`: the path, or the content of a part.

        Raises:
            UndecodableError: as `read`, for a part.
        """
        return self.path if self.length is None else self.read()

    @property
    def stamp(self) -> Stamp:
        """A stamp that changes with the content: path, size and time of change (ns) of the file, offset and length.

        A file that can't be accessed has minus the system's error number as its size.
        """
        return (*_file_stamp(self.path), self.offset, self.length)

    def read(self) -> bytes:
        """Read the bytes of the image.

        Raises:
            UndecodableError: if the file can't be read, or ends before the part does.
        """
        try:
            with open_regular(self.path) as file:
                file.seek(self.offset)
                content = file.read(-1 if self.length is None else self.length)
        except OSError as error:
            raise UndecodableError(f"can't be read ({error.strerror})", self.path) from error
        if self.length is not None and len(content) < self.length:
            raise UndecodableError("truncated", self.path)
        return content


def _file_stamp(path: str | Path) -> tuple[str, int, int]:
    """A file's absolute path, size and time of change."""
    absolute = os.path.abspath(path)
    try:
        status = os.stat(path)
    except OSError as error:
        return (absolute, -(error.errno or 1), 0)
    return (absolute, status.st_size, status.st_mtime_ns)


class Header(NamedTuple):
    """Width, height and channels of an image, and the bits of a number in its file, from the file's header."""

    width: int
    height: int
    channels: int
    bits: int = 8


Headers = tuple[Counter[Header], dict[ImageRef, str]]  # how often each occurs, and why others can't be read


def read_headers(image_refs: Sequence[ImageRef], progress: Progress | None = None) -> Headers:
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


def _probed(image_refs: Sequence[ImageRef]) -> tuple[list[Header], dict[ImageRef, str]]:
    headers, problems = [], {}
    for image_ref in image_refs:
        try:
            headers.append(Header(*header(image_ref.source)))
        except UndecodableError as error:
            problems[image_ref] = error.reason
    return headers, problems
