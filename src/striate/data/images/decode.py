"""Image decoder, the only one in Striate: training, evaluation and prediction all see the same pixels.

Orientation from EXIF is applied, transparency is laid over white, 16-bit grey is scaled to 8, and whatever else a file
holds becomes grey or red, green, blue. Of an animation, the first frame counts. Colour profiles are not applied.
"""

import io
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias, TypeVar, cast

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImagePalette import ImagePalette
from PIL.JpegImagePlugin import JpegImageFile

from striate.data.images import jpeg
from striate.errors import DataError
from striate.files import open_regular
from striate.resizing import Picture, pixels_of

VERSION = 2  # of the pixels: raise it when decoding changes any pixel, so that old cache entries are not used

SUFFIXES = frozenset(
    (
        *(".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
        *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    )
)
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # some of Pillow's others run outside programs
_SIGNATURES = (b"BM", b"GIF8", jpeg.SIGNATURE, b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF")
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
_ORIENTATION = 0x0112  # the EXIF tag
_DESCRIBED = {"exif", "xmp"}  # where it may stand
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_warning_filters = threading.Lock()  # Python 3.11's are shared by all threads
_MANY_PIXELS = 25_000_000  # an image of more takes a third of a gigabyte and more while it is decoded
_HEADER = 2**14  # bytes: enough for most that have no EXIF
_AT_ONCE = 2**18  # bytes: more than most photographs have that are made for training
LARGE_IMAGE_LOCK = threading.Lock()

Source: TypeAlias = str | os.PathLike[str] | bytes
File: TypeAlias = io.FileIO | io.BytesIO  # not buffered: most is read at once
AtLeast: TypeAlias = Callable[[int, int], tuple[int, int]]
Offer: TypeAlias = Callable[[tuple[int, int, int]], np.ndarray | None]
Result = TypeVar("Result")


class UndecodableError(DataError):
    """Error for one image that can't be decoded; `reason` is a short clause that does not name the image."""

    def __init__(self, reason: str, source: Source):
        self.reason = reason
        name = "the image" if isinstance(source, bytes) else os.fspath(source)
        super().__init__(f"{name} can't be used: {reason}.")


def probe(source: Source) -> tuple[int, int, int]:
    """Return width, height and channels (1 or 3) of an image as `decode` would return it, from the header alone.

    One thing a header does not say is the orientation in a PNG whose EXIF comes after the pixels: it counts as upright.

    Raises:
        UndecodableError: if the header already shows that the image can't be used.
    """
    with _file(source) as file:
        _, plain = _plain_header(file, _HEADER)
        if plain is not None:
            return plain
        with _opened(file, source) as image, _reported(source):
            width, height = image.size
            # Pillow turns a TIFF by itself, and would decode a PNG to look for EXIF after the pixels.
            known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
            turned = known and _orientation(image) >= 5
            return (height, width, _channels(image)) if turned else (width, height, _channels(image))


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
        UndecodableError: if the image is damaged, cut off, too large or no image at all.
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
        plain = _of_plain_jpeg(file, at_least, offer)
        if plain is not None:
            return take(plain)
        with _opened(file, source) as image:
            with _reported(source):
                channels = _channels(image)
                pixels_held = _reduced(image, at_least)
            with lock if pixels_held > _MANY_PIXELS else nullcontext():
                with _reported(source):
                    picture = _upright(image, channels, source)
                return take(picture)


def upright(image: Image.Image) -> np.ndarray:
    """The pixels of an image that Pillow holds already, converted as `decode` converts those of files.

    Returns:
        uint8 (height, width, 1) for grey and (height, width, 3) for colour.

    Raises:
        UndecodableError: if it can't be read, or its black and white are unknown.
    """
    name = getattr(image, "filename", "") or b""
    with _reported(name):
        with _quiet():
            image.load()
            copy = image.copy()  # without the file, which may be closed
        return pixels_of(_upright(copy, _channels(copy), name))


def _plain_header(file: File, count: int) -> tuple[bytes, jpeg.Header | None]:
    """Read the file's first `count` bytes and a plain JPEG's header, avoiding the cost of opening it by Pillow.

    A JPEG is plain if it has no EXIF or XMP and not too many pixels; for any other file the header is None.
    """
    try:
        start = file.read(count)
    except OSError:  # Pillow will report it
        return b"", None
    header = jpeg.plain_header(start)
    most = min(_MANY_PIXELS, Image.MAX_IMAGE_PIXELS or math.inf)
    return start, None if header is None or header.width * header.height > most else header


def _of_plain_jpeg(file: File, at_least: AtLeast | None, offer: Offer) -> np.ndarray | None:
    """Decode a JPEG with a plain header; None for any other file, and where anything is wrong with it."""
    start, header = _plain_header(file, _AT_ONCE)
    if header is None:
        return None
    try:
        content = start + file.read() if len(start) == _AT_ONCE else start
    except OSError:
        return None
    width, height, channels = header
    scale = 1 if at_least is None else jpeg.scale_for(width, height, at_least(width, height))
    width, height = -(-width // scale), -(-height // scale)
    return jpeg.pixels_of(content, channels, width, height, offer((height, width, channels)))


def _reduced(image: Image.Image, at_least: AtLeast | None) -> int:
    """Set the smallest sufficient scale for a JPEG, and return how many pixels decoding will hold in memory."""
    width, height = image.size
    if at_least is not None and isinstance(image, JpegImageFile):
        turned = _orientation(image) >= 5
        enough = at_least(height, width)[::-1] if turned else at_least(width, height)
        image.draft(None, enough)
        if not image.info.get("progressive"):  # those hold all frequencies, whatever the scale
            width, height = image.size
    return width * height


def _upright(image: Image.Image, channels: int, source: Source) -> Picture:
    if isinstance(image, JpegImageFile) and image.info.keys() & _DESCRIBED:  # others had their chance before
        pixels = _of_described_jpeg(image, channels)
        if pixels is not None:
            return pixels
    image.load()
    if image.mode[0] in "IF":
        picture = _shallow(image, source)
    else:
        picture, mode = _opaque(image), "L" if channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
    transposition = _UPRIGHT.get(_orientation(image))
    return picture if transposition is None else picture.transpose(transposition)


def _of_described_jpeg(image: JpegImageFile, channels: int) -> np.ndarray | None:
    """Decode a JPEG with EXIF or XMP that is upright; None for others, and where anything is wrong with it."""
    if image.mode not in ("L", "RGB") or image.fp is None or _orientation(image) in _UPRIGHT:
        return None
    image.fp.seek(0)
    return jpeg.pixels_of(image.fp.read(), channels, *image.size)


@contextmanager
def _opened(file: File, source: Source) -> Iterator[Image.Image]:
    """Open an image and read its header."""
    with _reported(source):
        file.seek(0)
        signature = file.read(16)
        file.seek(0)
        buffered = io.BufferedReader(file)
        try:
            with _quiet():
                image = Image.open(buffered, formats=_FORMATS)
        except UnidentifiedImageError as error:
            if not signature:
                raise UndecodableError("empty file", source) from error
            known = signature.startswith(_SIGNATURES)
            raise UndecodableError("damaged or truncated header" if known else "not an image", source) from error
    with buffered, image:
        yield image


@contextmanager
def _reported(source: Source) -> Iterator[None]:
    """Make any error in the block an UndecodableError: there is none that damaged files don't make decoders raise."""
    try:
        yield
    except UndecodableError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        reason = f"too large: more than {most:.0f} million pixels (decompression bomb guard)"
        raise UndecodableError(reason, source) from error
    except MemoryError as error:
        raise UndecodableError("more pixels than memory can hold", source) from error
    except Exception as error:
        message = str(error) or type(error).__name__
        reason = "truncated" if "truncated" in message.lower() else f"damaged ({message})"
        raise UndecodableError(reason, source) from error


def _file(source: Source) -> File:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return cast(File, open_regular(source, buffering=0))
    except OSError as error:
        raise UndecodableError(f"can't be read ({error.strerror})", source) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Filter Pillow's warnings inside the block: the one for decompression bombs is raised, the others are dropped."""
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _channels(image: Image.Image) -> int:
    grey = image.mode in _GREY_MODES or (image.mode == "P" and image.palette is not None and _is_grey(image.palette))
    return 1 if grey else 3


def _is_grey(palette: ImagePalette) -> bool:
    sample = Image.new("P", (1, 1))
    sample.putpalette(palette.palette, palette.rawmode or palette.mode)
    colours = np.array(sample.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _orientation(image: Image.Image) -> int:
    if image.format == "JPEG" and not image.info.keys() & _DESCRIBED:
        return 1
    try:
        with _quiet():
            orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a picture whose EXIF is damaged is still a picture, and nothing says that it is turned
        return 1
    return orientation if isinstance(orientation, int) else 1


def _opaque(image: Image.Image) -> Image.Image:
    """Return the image without transparency, laid over white."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(layer, mask=layer.getchannel("A"))
    return paper


def _shallow(image: Image.Image, source: Source) -> Image.Image:
    """Convert grey of 16 or 32 bits, or of floating-point numbers, to 8 bits, by the format's own black and white."""
    values = np.asarray(image)
    white = 1 if image.mode == "F" else 65535  # Pillow's mode "I" comes from 16-bit files too
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= white):
        raise UndecodableError(f"pixels outside 0 … {white}, so that black and white are unknown", source)
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
