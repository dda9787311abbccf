"""JPEG decoding by libjpeg-turbo directly: the same pixels as by Pillow, which uses it too, but all lines at once."""

from collections.abc import Callable
from struct import Struct
from typing import IO, NamedTuple, TypeAlias

import numpy as np
import simplejpeg

AtLeast: TypeAlias = Callable[[int, int], tuple[int, int]]
Offer: TypeAlias = Callable[[tuple[int, int, int]], np.ndarray | None]

VERSION: str = simplejpeg.__version__

MANY_PIXELS = 25_000_000  # an image of more takes a third of a gigabyte and more while it is decoded
_AT_ONCE = 2**18  # bytes: more than most photographs have that are made for training
_LARGEST_FILE = 2**30  # bytes

SIGNATURE = b"\xff\xd8\xff"

# Markers, ITU-T T.81, table B.1.
_SCAN = 0xFFDA  # SOS: the pixels begin
_APP1 = 0xFFE1  # EXIF or XMP, which may say how the camera was held
_WITH_LENGTH = frozenset((*range(0xFFC0, 0xFFD0), *range(_SCAN, 0xFFFF)))
_SEGMENT = Struct(">HH")  # its marker, and its length from there on
_CHANNELS = {"Gray": 1, "YCbCr": 3, "RGB": 3}


class Header(NamedTuple):
    """Width and height in pixels, and channels: 1 for grey or 3 for colour."""

    width: int
    height: int
    channels: int


def plain_header(content: bytes) -> Header | None:
    """Parse the header of a JPEG from its first bytes; None unless it is grey or colour, and certainly upright."""
    if not _is_plain(content):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    return Header(width, height, _CHANNELS[colours]) if colours in _CHANNELS else None


def start_of(file: IO[bytes], count: int) -> tuple[bytes, Header | None]:
    """Read the file's first `count` bytes and a plain JPEG's header, avoiding the cost of opening it by Pillow.

    A JPEG is plain if it has no EXIF or XMP and not too many pixels; for any other file the header is None.
    """
    try:
        start = file.read(count)
    except OSError:  # Pillow will report it
        return b"", None
    found = plain_header(start)
    return start, None if found is None or found.width * found.height > MANY_PIXELS else found


def of_plain(file: IO[bytes], at_least: AtLeast | None, offer: Offer) -> np.ndarray | None:
    """Decode a JPEG with a plain header; None for any other file, and where anything is wrong with it.

    Args:
        file: not read yet.
        at_least, offer: as in `decode_to`.
    """
    start, found = start_of(file, _AT_ONCE)
    if found is None:
        return None
    content = start if len(start) < _AT_ONCE else whole(file)
    if content is None:
        return None
    width, height, channels = found
    scale = 1 if at_least is None else scale_for(width, height, at_least(width, height))
    width, height = -(-width // scale), -(-height // scale)
    return pixels_of(content, channels, width, height, offer((height, width, channels)))


def whole(file: IO[bytes]) -> bytes | None:
    """Read all of a file; None if it can't be read, or is larger than 1 GiB."""
    try:
        if file.seek(0, 2) > _LARGEST_FILE:
            return None
        file.seek(0)
        return file.read()
    except OSError:
        return None


def pixels_of(
    content: bytes, channels: int, width: int, height: int, out: np.ndarray | None = None
) -> np.ndarray | None:
    """Decode at the smallest scale that gives this width and height: uint8 (height, width, channels).

    For an image of a few pixels several scales do, and it may be another one than Pillow's. The result is None where
    anything is wrong with the JPEG; Pillow gives a more detailed error.

    Args:
        out: an array to decode into and to return, instead of a new one.
    """
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            content, "GRAY" if channels == 1 else "RGB", min_width=width, min_height=height, buffer=out
        )
    except ValueError:
        return None
    return pixels if out is None else out


def scale_for(width: int, height: int, enough: tuple[int, int]) -> int:
    """Return the largest factor, 1, 2, 4 or 8, by which an image can be reduced to no less than the size `enough`."""
    most = min(width // enough[0], height // enough[1])
    return next((scale for scale in (8, 4, 2) if most >= scale), 1)


def _is_plain(content: bytes) -> bool:
    """Return whether no segment before the pixels could hold an orientation."""
    if not content.startswith(SIGNATURE):
        return False
    place = 2
    while place + _SEGMENT.size <= len(content):
        marker, length = _SEGMENT.unpack_from(content, place)
        if marker == _SCAN:
            return True
        if marker == _APP1 or marker not in _WITH_LENGTH:
            return False
        place += 2 + length
    return False
