"""Image files as users name them: one by one, by a folder, by a pattern, or through a pipe."""

import glob
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from striate.data.images.decode import SUFFIXES
from striate.errors import ArgumentError, BadFilesError

STANDARD_INPUT = "/dev/stdin"
_PIPES = (STANDARD_INPUT, "/dev/fd/", "/proc/self/fd/")
_LARGEST = 2**30  # bytes
# Folders that systems, storage servers and unpacking programs make for themselves, in lower case.
SYSTEM_FOLDERS = {
    "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@tmp", "__macosx", "__pycache__", "lost+found",
    "system volume information", "thumbnails.noindex",
}  # fmt: skip


class PipedImage(bytes):
    """The bytes of an image that came through a pipe, and the pipe's name."""

    filename: str


def images_named(path: str | os.PathLike[str]) -> list[str | os.PathLike[str] | PipedImage]:
    """List the images that a path means: itself, those below a folder, or those that match a pattern such as "*.jpg".

    What a pipe gives, as in `<(command)`, is read now.

    Raises:
        ArgumentError: for an address, a folder without images, or a pattern that matches nothing.
        BadFilesError: if a pipe can't be read.
    """
    text = os.fspath(path)
    if text.startswith(_PIPES):
        return [_read(text)]
    if os.path.isdir(text):
        return list(_below(text))
    if not os.path.lexists(text):
        if text.lower().startswith(("http://", "https://")):
            raise ArgumentError(f"{text} is an address: download the image, and name the file.")
        if glob.has_magic(text):
            return list(_matching(text))
    return [path]


def _read(pipe: str) -> PipedImage:
    try:
        with open(pipe, "rb") as stream:
            image = PipedImage(stream.read(_LARGEST + 1))
    except OSError as error:
        raise BadFilesError({pipe: f"can't be read ({error.strerror})"}, skippable=False) from error
    if len(image) > _LARGEST:
        raise BadFilesError({pipe: f"more than {_LARGEST:,} bytes"}, skippable=False)
    image.filename = pipe
    return image


def _below(folder: str) -> list[Path]:
    images = [Path(image) for image in images_below(Path(folder), Counter())]
    if not images:
        raise ArgumentError(f"{folder} is a folder without images ({', '.join(sorted(SUFFIXES))}).")
    return images


def _matching(pattern: str) -> list[str]:
    found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        raise ArgumentError(f"no file matches {pattern}.")
    return found


def is_passed_over(folder: str) -> bool:
    """Tell by its name whether a folder is hidden or a system's own."""
    return folder.startswith(".") or folder.lower() in SYSTEM_FOLDERS


def images_below(folder: Path, others: Counter[str]) -> list[str]:
    """Return the images anywhere below `folder`, sorted by path; other files are counted in `others`.

    Paths are text here, as there may be millions of them.
    """
    images: list[str] = []
    places = 0
    for place, names in _walk(folder, others):
        start = os.path.join(place, "")
        found = [start + name for name in names if name[name.rfind(".") :].lower() in SUFFIXES]
        if len(found) < len(names):
            others.update(kind for kind in map(suffix, map(Path, names)) if kind not in SUFFIXES)
        images += found
        places += bool(found)
    return sorted(images) if places < 2 else sorted(images, key=lambda path: path.replace(os.sep, "\0"))


def _walk(folder: Path, others: Counter[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder from `folder` on, and the names of the files in it that are not hidden."""

    def refuse(error: OSError) -> None:
        raise error

    top = Path(os.path.realpath(folder))
    visited = set()  # links may form a cycle, or lead to a parent folder
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        for name in folders:
            if name.lower() in SYSTEM_FOLDERS:
                others[f"in {name}"] += sum(1 for _ in Path(place, name).iterdir())
        folders[:] = sorted(name for name in folders if not is_passed_over(name))
        real = Path(os.path.realpath(place))
        if real in visited or (real != top and top.is_relative_to(real)):
            folders.clear()
            continue
        visited.add(real)
        yield place, [name for name in files if not name.startswith(".")]


def suffix(path: Path) -> str:
    """The name of a kind of file: its suffix in lower case, or that it has none."""
    return path.suffix.lower() or "without a suffix"
