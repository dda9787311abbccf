"""Images of any kind as pixels: files, their bytes, PIL images, arrays and tensors.

Files may be named one by one, by a folder, by a pattern, or through a pipe.
"""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from PIL import Image

from striate.data.images.decode import SUFFIXES, UndecodableError, decode, upright
from striate.data.images.prepare import enough_for, prepare
from striate.errors import ArgumentError, BadFilesError, DataError
from striate.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import Tensor

    from striate.data.arrays import Layout


AnyImage: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray | Tensor"
"""One image: a file's path or content, a PIL image, or an array or tensor (H, W), (H, W, C) or (C, H, W)."""

_FILES = (str, os.PathLike, bytes, bytearray, memoryview)


def each_image(images: "AnyImage | Iterable[AnyImage]", layout: "Layout | None" = None) -> list[AnyImage]:
    """List the images given: one, several, or a batch (four dimensions, or layout "NHW").

    A path may be that of a folder, which stands for all images below it, or a pattern such as "photos/*.jpg".

    Raises:
        ArgumentError: for anything else, an address, a folder without images, or a pattern that matches nothing.
    """
    if _is_array(images):
        return list(images) if images.ndim == 4 or (layout == "NHW" and images.ndim == 3) else [images]
    if isinstance(images, str | os.PathLike):
        return list(images_named(images))
    if isinstance(images, (*_FILES, Image.Image)):
        return [images]  # type: ignore[list-item]
    if not isinstance(images, Iterable):
        raise ArgumentError(
            f"an image of type {type(images).__name__}: expected a path, bytes, a PIL image, an array or a tensor."
        )
    return [
        image
        for given in images
        for image in (images_named(given) if isinstance(given, str | os.PathLike) else [given])
    ]


def prepare_any(image: AnyImage, preprocess: Preprocess, layout: "Layout | None" = None) -> np.ndarray:
    """Decode or convert one image of any kind and resize it.

    Args:
        image: see `AnyImage`. Integers are intensities in 0 … 255, floating-point numbers in 0 … 1.
        preprocess: the size, the channels and the fit.
        layout: of arrays and tensors, that of a batch of them: "NHW", "NHWC" or "NCHW"; needed only where the
            shape could mean two of them.

    Returns:
        uint8 (height, width, channels).

    Raises:
        ArgumentError: for another type, or a shape that could mean two layouts.
        UndecodableError: if the image is damaged, cut off or too large, no image at all, or has values out of range.
    """
    if isinstance(image, str | os.PathLike):
        return prepare(image, preprocess)
    if isinstance(image, bytes | bytearray | memoryview):
        return prepare(bytes(image), preprocess)
    if isinstance(image, Image.Image):
        return preprocess.conform_picture(upright(image))
    return preprocess.conform(_pixels(image, layout))


def decode_any(image: AnyImage, preprocess: Preprocess, layout: "Layout | None" = None) -> np.ndarray:
    """Decode or convert one image of any kind, at its own size: uint8 (height, width, 1 or 3).

    A JPEG much larger than `preprocess` needs is decoded at a reduced scale, as `prepare_any` does. The other arguments
    and the errors are those of `prepare_any`.
    """
    if isinstance(image, str | os.PathLike):
        return decode(image, enough_for(preprocess))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(bytes(image), enough_for(preprocess))
    return upright(image) if isinstance(image, Image.Image) else _pixels(image, layout)


def _is_array(image: object) -> "TypeGuard[np.ndarray | Tensor]":
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    return isinstance(image, np.ndarray) or (torch is not None and isinstance(image, torch.Tensor))


def _pixels(image: object, layout: "Layout | None") -> np.ndarray:
    if not _is_array(image):
        raise ArgumentError(
            f"an image of type {type(image).__name__}: expected a path, bytes, a PIL image, an array or a tensor."
        )
    from striate.data.arrays import pixel_batch

    try:
        return pixel_batch(image[None], layout)[0].numpy()
    except DataError as error:
        raise UndecodableError(str(error).rstrip("."), b"") from error


def name_of(image: AnyImage, number: int) -> str:
    """The name of an image in results: its path, or its number among those given."""
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    return str(getattr(image, "filename", "") or f"image {number}")


def stem_of(image: Any) -> str:
    """The name of files made for an image: its file's name without the suffix, or "image"."""
    name = image if isinstance(image, str | os.PathLike) else getattr(image, "filename", "")
    return os.path.splitext(os.path.basename(os.fspath(name)))[0] or "image"


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
