"""MNIST (LeCun, Cortes, Burges) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), each read from four IDX files.

The IDX format of MNIST and its relatives is a header of big-endian numbers, then bytes. Files are read raw or gzipped.
`locate` looks for them in the user's, the system's and Striate's own folder, and else downloads them.
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from striate.data.dataset import Dataset, Split
from striate.download import download
from striate.errors import DataError
from striate.files import cache_folder, open_regular
from striate.types import Progress


@dataclass(frozen=True)
class IdxFile:
    """One IDX file: its name, and its size and SHA-256 decompressed (mirrors recompress, so the gzip's own vary)."""

    name: str
    size: int
    sha256: str

    def read(self, path: Path) -> torch.Tensor:
        """Read the array at `path`: uint8 (N, H, W) if this is a file of images, (N,) if it is one of labels.

        Raises:
            DataError: if the file at `path` is damaged or another one.
        """
        return read(path, 3 if "images" in self.name else 1, size=self.size, sha256=self.sha256)


@dataclass(frozen=True)
class IdxSource:
    """A data set of four IDX files: training images and labels, test images and labels."""

    files: tuple[IdxFile, ...]
    classes: tuple[str, ...]
    mirror: bool
    addresses: tuple[str, ...]


def _four(*checksums: str) -> tuple[IdxFile, ...]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    sizes = (16 + 60000 * 784, 8 + 60000, 16 + 10000 * 784, 8 + 10000)
    return tuple(IdxFile(*facts) for facts in zip(names, sizes, checksums, strict=True))


SOURCES: dict[str, IdxSource] = {
    "mnist": IdxSource(
        files=_four(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        classes=tuple("0123456789"),
        mirror=False,
        addresses=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion-mnist": IdxSource(
        files=_four(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        classes=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        mirror=True,
        addresses=(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
    ),
}


def load_mnist(name: str, progress: Progress | None = None) -> Dataset:
    """Load a data set of `SOURCES`: grey 28×28 images, 60,000 for training and 10,000 for testing; no val split.

    Raises:
        DataError: if a file is damaged, or if the files are not found and can't be downloaded.
    """
    source = SOURCES[name]
    checks = {file.name: file.read for file in source.files}
    paths = locate(name, checks, source.addresses, progress)
    arrays = [file.read(path) for file, path in zip(source.files, paths, strict=True)]
    return Dataset(
        source=name,
        classes=source.classes,
        train=paired(arrays[0], arrays[1], paths[0], paths[1]),
        test=paired(arrays[2], arrays[3], paths[2], paths[3]),
        mirror=source.mirror,
    )


_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTES = 0x08


def read(path: Path, dimensions: int, *, size: int | None = None, sha256: str | None = None) -> torch.Tensor:
    """Read the array in one IDX file.

    Args:
        path: the file, raw or gzipped, whatever its name says, except that a name in .gz must hold gzip.
        dimensions: the number of dimensions the array must have: 3 for images, 1 for labels.
        size: the number of bytes the decompressed file must have, header included.
        sha256: the SHA-256 the decompressed file must have, in hexadecimal.

    Returns:
        uint8, of the shape in the file's header.

    Raises:
        DataError: naming the file, what was expected and what was found.
    """
    content = _content(path, size)
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTES, dimensions])
    if content[:4] != magic:
        found = content[:4].hex() or "none"
        raise _damaged(path, f"expected it to begin with the bytes {magic.hex()}, found {found}")
    if len(content) < header:
        raise _damaged(path, f"it is truncated: {len(content)} bytes, less than its header of {header}")
    shape = tuple(int(side) for side in np.frombuffer(content, dtype=">u4", count=dimensions, offset=4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        kind = "truncated" if len(content) < expected else "longer than its header says"
        raise _damaged(path, f"it is {kind}: expected {expected} bytes for the shape {shape}, found {len(content)}")
    if sha256 is not None and (actual := hashlib.sha256(content).hexdigest()) != sha256:
        raise _damaged(path, f"its checksum is wrong: expected SHA-256 {sha256} of the decompressed file, got {actual}")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape).copy())


def paired(images: torch.Tensor, labels: torch.Tensor, images_path: Path, labels_path: Path) -> Split:
    """Make a split from the arrays of two IDX files.

    Args:
        images: uint8 (N, H, W).
        labels: uint8 (N,).
        images_path, labels_path: their files, for the error.

    Returns:
        images uint8 (N, H, W, 1) and labels int64 (N,).

    Raises:
        DataError: if there are not as many labels as images.
    """
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} has {len(images)} images but {labels_path} has {len(labels)} labels: "
            "they don't belong together."
        )
    return Split(images[..., None], labels.to(torch.int64))


def _content(path: Path, size: int | None) -> bytes:
    # One byte more than expected is enough to see that a file is too long, and keeps a bomb from unfolding.
    most = -1 if size is None else size + 1
    try:
        with open_regular(path) as file:
            compressed = file.read(2) == _GZIP
            file.seek(0)
            if not compressed:
                if path.suffix == ".gz":
                    raise _damaged(path, "it is not gzip, though its name says so")
                return file.read(most)
            return gzip.GzipFile(fileobj=file).read(most)
    except EOFError as error:
        raise _damaged(path, "it is truncated: its gzip stream ends too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, f"its gzip stream is broken ({error})") from error
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}.") from error


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged: {what}. Remove it and fetch it again.")


SYSTEM_FOLDERS = (Path("/usr/share/datasets"), Path("/usr/local/share/datasets"))


def locate(
    name: str,
    checks: Mapping[str, Callable[[Path], object]],
    addresses: Sequence[str],
    progress: Progress | None = None,
) -> list[Path]:
    """Find the files of a data set in the first place that has all of them, or download them into the cache.

    Args:
        name: the data set, and the name of its folder in every place.
        checks: the files' names, and for each a function that raises DataError unless the file at a path is valid. A
            file may be there as it is or with .gz; downloads have .gz.
        addresses: where the files can be downloaded, each ending in a slash; the first that works is used.
        progress: called with a description, the bytes done and the bytes in total.

    Raises:
        DataError: listing the places that were tried, and what to do.
    """
    cache = cache_folder() / "datasets" / name
    tried = []
    for place, folder in _places(name, cache):
        found = [folder and _existing(folder, file) for file in checks]
        if all(found):
            return [path for path in found if path]
        tried.append(f"{place}: {_lacking(folder, dict(zip(checks, found, strict=True)))}")
    try:
        return [
            _existing(cache, file) or _fetched(cache / f"{file}.gz", check, addresses, progress)
            for file, check in checks.items()
        ]
    except DataError as error:
        ways = "\n".join(f"  {way}" for way in (*tried, f"download: {error}"))
        raise DataError(
            f"{name} was not found:\n{ways}\n"
            f"Connect to the network and try again, or put {', '.join(checks)} (each with or without .gz) into a "
            f"folder named {name} and set STRIATE_DATA to the folder around it."
        ) from error


def _places(name: str, cache: Path) -> list[tuple[str, Path | None]]:
    own = os.environ.get("STRIATE_DATA")
    system = [("system", folder / name) for folder in SYSTEM_FOLDERS]
    return [("$STRIATE_DATA", Path(own) / name if own else None), *system, ("cache", cache)]


def _existing(folder: Path, file: str) -> Path | None:
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return path
    return None


def _lacking(folder: Path | None, found: Mapping[str, Path | None]) -> str:
    if folder is None:
        return "not set"
    missing = [file for file, path in found.items() if path is None]
    return f"{folder} lacks {', '.join(missing)}" if folder.is_dir() else f"there is no {folder}"


def _fetched(path: Path, check: Callable[[Path], object], addresses: Sequence[str], progress: Progress | None) -> Path:
    """Download one file from the first address that works."""

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(f"downloading {path.parent.name}/{path.name}", done, total)

    failures = []
    for address in addresses:
        try:
            download(address + path.name, path, verify=check, report=report)
            return path
        except DataError as error:
            failures.append(str(error))
    raise DataError(" ".join(failures))
