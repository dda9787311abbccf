"""Index of a tar file: names, offsets and lengths of its members, from the headers alone.

Any member can then be read by itself; nothing is ever unpacked. A member's name is text and never becomes a path; links
and devices are ignored.
"""

import tarfile
from collections import Counter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from striate.errors import DataError
from striate.files import open_regular

_BLOCK = tarfile.BLOCKSIZE  # bytes; headers and contents begin at multiples of it
_CHUNK = 2**20
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ\0": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\x04\x22\x4d\x18": "unlz4",
}
# What tarfile raises for headers that are none, or whose numbers can't be.
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, EOFError, IndexError, KeyError, TypeError)


class Member(NamedTuple):
    """A regular file in a tar file.

    Args:
        name: its name.
        offset, length: the byte range of its content.
        comment: the text of its comment record in the pax format, if it has one.
    """

    name: str
    offset: int
    length: int
    comment: str = ""


class Index(NamedTuple):
    """The regular files of a tar file, in its order, and the number of members of each other kind."""

    members: list[Member]
    others: Counter[str]


def read_index(path: Path) -> Index:
    """Read the headers of the tar file at `path`, some 20,000 a second, and check that it is complete.

    Raises:
        DataError: naming the byte, if the file is cut off, damaged, compressed, no tar file or can't be read.
    """
    try:
        with open_regular(path) as file:
            return _read(path, file)
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror or error}.") from error


def _read(path: Path, file: BinaryIO) -> Index:
    _refuse_compressed(path, file)
    index = Index([], Counter())
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            while (member := archive.next()) is not None:
                if member.size < 0 or archive.offset <= end:  # a header that points back: tarfile would loop forever
                    raise tarfile.ReadError("impossible size")
                end = archive.offset
                _note(index, member)
            end = archive.offset
    except _DAMAGE as error:
        raise _broken(path, file, end, str(error)) from error
    _demand_end(path, file, end)
    return index


def _note(index: Index, member: tarfile.TarInfo) -> None:
    if member.issparse():
        index.others["sparse file"] += 1  # its content does not lie in one piece
    elif member.isreg():
        comment = member.pax_headers.get("comment", "")
        index.members.append(Member(member.name, member.offset_data, member.size, comment))
    elif not member.isdir():
        index.others["link" if member.islnk() or member.issym() else "device"] += 1


def _refuse_compressed(path: Path, file: BinaryIO) -> None:
    start = file.read(8)
    file.seek(0)
    for signature, remedy in _COMPRESSED.items():
        if start.startswith(signature):
            raise DataError(
                f"{path} is compressed, so that no image in it can be read by itself. Unpack the shards once with "
                f"`{remedy}`; images are compressed already, so they hardly grow."
            )


def _demand_end(path: Path, file: BinaryIO, end: int) -> None:
    """Raise unless a tar file ends at byte `end` with zeros only, as the standard (POSIX.1-2001, pax) requires.

    tarfile treats anything that is no header as the end, so a damaged header would hide all members after it.
    """
    file.seek(end)
    rest = file.read(_BLOCK)
    if len(rest) < _BLOCK or any(rest):
        raise _broken(path, file, end, "bad header")
    while rest := file.read(_CHUNK):
        if any(rest):
            raise DataError(
                f"{path} goes on after its end mark at byte {end:,}: were tar files joined? Only the first would be "
                "read; keep them separate, or join them with `tar --concatenate`."
            )


def _broken(path: Path, file: BinaryIO, end: int, reason: str) -> DataError:
    """Return the error for a file that can't be read from byte `end` on."""
    size = file.seek(0, 2)
    if size == 0:
        return DataError(f"{path} is empty: copy or write it again.")
    if end + _BLOCK > size or "unexpected end" in reason:
        return DataError(f"{path} is cut off at byte {size:,}, where more should follow: copy or write it again.")
    if end == 0:
        return DataError(f"{path} is no tar file.")
    return DataError(f"{path} is damaged at byte {end:,} of {size:,} ({reason}): copy or write it again.")
