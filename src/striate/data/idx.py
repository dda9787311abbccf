"""The IDX format of MNIST and its relatives: a header of big-endian numbers, then bytes. Read raw or gzipped."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from striate.data.dataset import Split
from striate.errors import DataError

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTES = 0x08


def read(path: Path, dimensions: int, *, size: int | None = None, sha256: str | None = None) -> torch.Tensor:
    """The array in one IDX file.

    Args:
        path: the file, raw or gzipped, whatever its name says, except that a name in .gz must hold gzip.
        dimensions: how many the array must have: 3 for images, 1 for labels.
        size: how many bytes the decompressed file must have, header included.
        sha256: what the decompressed file's SHA-256 must be, in hexadecimal.

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
    """One split from the arrays of two IDX files.

    Args:
        images: uint8 (N, H, W).
        labels: uint8 (N,).
        images_path, labels_path: where they came from, for the error.

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
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP
            file.seek(0)
            if not compressed:
                if path.suffix == ".gz":
                    raise _damaged(path, "it is not gzip, though its name says so")
                return file.read()
            # One byte more than expected is enough to see that a file is too long, and keeps a bomb from unfolding.
            return gzip.GzipFile(fileobj=file).read(-1 if size is None else size + 1)
    except EOFError as error:
        raise _damaged(path, "it is truncated: its gzip stream ends too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, f"its gzip stream is broken ({error})") from error
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}.") from error


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged: {what}. Remove it and fetch it again.")
