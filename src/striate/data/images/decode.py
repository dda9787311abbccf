"""Image decoder, the only one in Striate: training, evaluation and prediction all see the same pixels.

Orientation from EXIF is applied, transparency is laid over white, 16-bit grey is scaled to 8, and whatever else a file
holds becomes grey or red, green, blue. Of an animation, the first frame counts. Colour profiles are not applied.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import IO, TypeAlias, TypeVar, cast

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from striate.data.images import convert, jpeg, png
from striate.data.images.convert import quiet
from striate.data.images.jpeg import AtLeast, Offer
from striate.data.images.unreadable import Source, UndecodableError, reason_for
from striate.errors import ArgumentError
from striate.files import open_regular
from striate.resizing import Picture, pixels_of

__all__ = [
    "SUFFIXES",
    "VERSION",
    "AtLeast",
    "Source",
    "UndecodableError",
    "decode",
    "decode_to",
    "header",
    "probe",
    "upright",
]

VERSION = 3  # of the pixels: raise it when decoding changes any pixel, so that old cache entries are not used

SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
        *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
# Some of Pillow's others run outside programs.
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", "AVIF")
_MOST_PIXELS = 178_956_970  # that decoding may hold in memory: the number at which Pillow refuses
_HEADER = 2**14  # bytes: enough for most JPEGs that have no EXIF
_EXAMINED = 2**24  # bytes of a file that can't be decoded, for the reason
LARGE_IMAGE_LOCK = threading.Lock()

File: TypeAlias = io.FileIO | io.BytesIO  # not buffered: most is read at once
Result = TypeVar("Result")


class _DecoderError(Exception):
    """A decoder refused an image, with this message; an empty one if it does not know the format."""


def probe(source: Source) -> tuple[int, int, int]:
    """Return width, height and channels (1 or 3) of an image as `decode` would return it, see `header`."""
    return header(source)[:3]


def header(source: Source) -> tuple[int, int, int, int]:
    """Return width, height and channels of an image as `decode` would return it, and the bits of a number in the file.

    Only the file's header is read. One thing it does not say is the orientation in a PNG whose EXIF comes after the
    pixels: it counts as upright.

    Raises:
        UndecodableError: if the header already shows that the image can't be used.
    """
    with _file(source) as file:
        _, plain = jpeg.start_of(file, _HEADER)
    if plain is not None:
        return (*plain, 8)
    return _by_pillow(source, _header)


def _header(image: Image.Image) -> tuple[int, int, int, int]:
    with _reported():
        kept = convert.stored(image)
        described = convert.channels_of(image, kept), kept.bits
        width, height = image.size
        _held(image, lambda width, height: (1, 1))
        # Pillow turns a TIFF by itself, and would decode a PNG to look for EXIF after the pixels.
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        return (height, width, *described) if known and convert.orientation(image) >= 5 else (width, height, *described)


def decode(
    source: Source, at_least: AtLeast | None = None, lock: AbstractContextManager[object] = LARGE_IMAGE_LOCK
) -> np.ndarray:
    """Decode an image to pixels, upright.

    A JPEG may be decoded at a half, a quarter or an eighth of its size, by leaving out the high frequencies of its
    blocks: a 12-megapixel photograph in a tenth of the time.

    Args:
        source: a file's path, or the content of one as bytes.
        at_least: a function from the image's width and height to the least width and height wanted; without it, the
            image is decoded in full.
        lock: held while decoding an image of more than 25 million pixels, so that memory does not grow with the number
            of threads, or of processes, that decode.

    Returns:
        uint8 (height, width, 1) for grey and (height, width, 3) for colour.

    Raises:
        UndecodableError: if the image is damaged, cut off, too large or no image at all. An image is too large if more
            than 179 million pixels, or $STRIATE_MAX_PIXELS, are decoded at once; of a JPEG these may be fewer than it
            has.
    """
    return decode_to(pixels_of, source, at_least, lock)


def decode_to(
    take: Callable[[Picture], Result],
    source: Source,
    at_least: AtLeast | None = None,
    lock: AbstractContextManager[object] = LARGE_IMAGE_LOCK,
    offer: Offer = lambda shape: None,
) -> Result:
    """Decode an image and return `take(picture)`; a lock taken for a large image is held until `take` returns.

    Args:
        take: a function of the upright picture.
        source, at_least, lock: as in `decode`.
        offer: called for most JPEGs: from a picture's height, width and channels, a uint8 array of this shape to decode
            into, or None; `take` then gets this very array, or another one if the picture could not be decoded into it.

    Raises:
        UndecodableError: as `decode`.
    """
    with _file(source) as file:
        plain = jpeg.of_plain(file, at_least, offer)
    if plain is not None:
        return take(plain)

    def taken(image: Image.Image) -> Result:
        with _reported():
            held = _held(image, at_least)
        with lock if held > jpeg.MANY_PIXELS else nullcontext():
            with _reported():
                picture = _loaded(image)
            return take(picture)

    return _by_pillow(source, taken)


def upright(image: Image.Image) -> np.ndarray:
    """The pixels of an image that Pillow holds already, converted as `decode` converts those of files.

    Returns:
        uint8 (height, width, 1) for grey and (height, width, 3) for colour.

    Raises:
        UndecodableError: if it can't be read, or its black and white are unknown.
    """
    name = getattr(image, "filename", "") or b""
    try:
        with _reported():
            kept = convert.stored(image)
            with quiet():
                image.load()
                copy = image.copy()  # without the file, which may be closed
            return pixels_of(convert.upright(copy, kept, convert.channels_of(copy, kept)))
    except convert.UnknownRangeError as error:
        raise UndecodableError(str(error), name) from error
    except _DecoderError as error:
        raise UndecodableError(f"damaged ({error})", name) from error


def pixel_limit() -> int:
    """Return how many pixels decoding an image may hold in memory: $STRIATE_MAX_PIXELS, or 178,956,970.

    Raises:
        ArgumentError: if that is no number.
    """
    own = os.environ.get("STRIATE_MAX_PIXELS") or str(_MOST_PIXELS)
    if not own.isdecimal():
        raise ArgumentError(f"STRIATE_MAX_PIXELS={own}: expected a number of pixels, such as {2 * _MOST_PIXELS}.")
    return int(own)


def _held(image: Image.Image, at_least: AtLeast | None) -> int:
    """Set the smallest sufficient scale for a JPEG, and return how many pixels decoding will hold in memory.

    Raises:
        UndecodableError: if they are too many.
    """
    width, height = image.size
    if at_least is not None and isinstance(image, JpegImageFile):
        turned = convert.orientation(image) >= 5
        enough = at_least(height, width)[::-1] if turned else at_least(width, height)
        image.draft(None, enough)
        if not image.info.get("progressive"):  # those hold all frequencies, whatever the scale
            width, height = image.size
    if width * height > (most := pixel_limit()):
        pixels, limit = (round(count / 1e6) for count in (width * height, most))
        raise UndecodableError(
            f"too large: {pixels} million pixels, and --max-pixels, or $STRIATE_MAX_PIXELS, is {limit}", b""
        )
    return width * height


def _loaded(image: Image.Image) -> Picture:
    kept = convert.stored(image)
    channels = convert.channels_of(image, kept)
    if isinstance(image, JpegImageFile) and _is_upright(image):
        content = jpeg.whole(cast(IO[bytes], image.fp))
        pixels = None if content is None else jpeg.pixels_of(content, channels, *image.size)
        if pixels is not None:
            return pixels
    if isinstance(image, PngImageFile):
        _demand_checksums(cast(IO[bytes], image.fp))
    image.load()
    return convert.upright(image, kept, channels)


def _demand_checksums(file: IO[bytes]) -> None:
    place = file.tell()
    content = jpeg.whole(file)
    file.seek(place)
    if content is not None and png.is_damaged(content):
        raise _DecoderError("its pixels do not have their checksum")


def _is_upright(image: JpegImageFile) -> bool:
    """Return whether a JPEG with EXIF or XMP needs no turning; those without were decoded before."""
    return convert.is_described(image) and image.mode in ("L", "RGB") and not convert.is_turned(image)


def _by_pillow(source: Source, use: Callable[[Image.Image], Result]) -> Result:
    """Open an image by Pillow and return `use(image)`.

    Raises:
        UndecodableError: with the true reason, for any error of a decoder.
    """
    with _file(source) as file, suppress(_DecoderError):
        return _used(file, source, use)
    with _file(source) as file:
        content = file.read(_EXAMINED) or b""
        if content.startswith(png.SIGNATURE):
            content = jpeg.whole(file) or content
    try:
        return _used(io.BytesIO(png.without_texts(content) or content), source, use)
    except _DecoderError as error:
        raise UndecodableError(reason_for(content, str(error)), source) from error


def _used(file: File, source: Source, use: Callable[[Image.Image], Result]) -> Result:
    try:
        with _opened(file) as image:
            return use(image)
    except (UndecodableError, convert.UnknownRangeError) as error:
        raise UndecodableError(getattr(error, "reason", str(error)), source) from error


@contextmanager
def _opened(file: File) -> Iterator[Image.Image]:
    """Open an image and read its header."""
    with io.BufferedReader(file) as buffered:
        with _reported():
            file.seek(0)
            image = _image(buffered)
        with image:
            yield image


def _image(file: IO[bytes]) -> Image.Image:
    try:
        with quiet():
            return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        raise _DecoderError from None
    except Image.DecompressionBombError:  # its own limit; ours counts the pixels that are decoded
        file.seek(0)
        start = file.read(16)
        for factory, accepts in (Image.OPEN[name] for name in _FORMATS):
            if accepts is not None and accepts(start) is True:
                file.seek(0)
                return factory(file, "")
        raise


@contextmanager
def _reported() -> Iterator[None]:
    """Make any error in the block a _DecoderError: there is none that damaged files don't make decoders raise."""
    try:
        yield
    except (_DecoderError, UndecodableError, ArgumentError, convert.UnknownRangeError):
        raise
    except MemoryError as error:
        raise UndecodableError("more pixels than memory can hold", b"") from error
    except Exception as error:
        raise _DecoderError(str(error) or type(error).__name__) from error


def _file(source: Source) -> File:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return cast(File, open_regular(source, buffering=0))
    except OSError as error:
        raise UndecodableError(f"can't be read ({error.strerror})", source) from error
