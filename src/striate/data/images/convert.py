"""Conversion of what Pillow reads to upright pixels: grey or red, green, blue, 8 bits, without transparency."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.ImagePalette import ImagePalette
from PIL.TiffImagePlugin import TiffImageFile

from striate.resizing import Picture

_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
_DEPTH = 16  # bits
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
# TIFF 6.0's tags of these names, and what they are if they are not there.
_BITS, _PHOTOMETRIC, _FORMAT = (258, (1,)), (262, 1), (339, (1,))
_WHITE_IS_ZERO, _SIGNED = 0, 2


logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Python prints its remarks on damaged files
_warning_filters = threading.Lock()  # Python 3.11's are shared by all threads


class UnknownRangeError(ValueError):
    """The pixels have no known black and white."""


class Stored(NamedTuple):
    """Number format of an image's pixels; Pillow knows it only before it has loaded them, or ignores it.

    Args:
        rawmode: Pillow's name for the layout of a PNG's pixels; empty for others.
        bits: of a number, if there are more than 8.
        white: the number that is white, where it is not Pillow's 255; 0 elsewhere.
        inverted: whether 0 is white and this number black, and Pillow does not turn them.
    """

    rawmode: str
    bits: int
    white: int
    inverted: bool


def stored(image: Image.Image) -> Stored:
    """Say how the numbers of an image are stored, before it is loaded."""
    rawmode = ""
    if image.format == "PNG" and (tiles := getattr(image, "tile", None)):
        rawmode = str(tiles[0][3])
    bits = _DEPTH if image.mode[0] in "IF" or "16" in rawmode else 8
    white = {"I": 65535, "F": 1}.get(image.mode[0], 0)
    if not isinstance(image, TiffImageFile):
        return Stored(rawmode, bits, white, False)
    bits, signed = (int(image.tag_v2.get(*tag)[0]) for tag in (_BITS, _FORMAT))
    if signed == _SIGNED:
        white = 2 ** min(bits - 1, _DEPTH) - 1
    elif bits == 12 and image.mode[0] == "I":
        white = 2**bits - 1
    inverted = bool(white) and image.tag_v2.get(*_PHOTOMETRIC) == _WHITE_IS_ZERO
    return Stored(rawmode, bits, white, inverted)


def channels_of(image: Image.Image, kept: Stored) -> int:
    """Return the channels, 1 or 3, of an image's pixels."""
    grey = image.mode in _GREY_MODES or kept.rawmode.startswith("LA")
    return 1 if grey or (image.mode == "P" and image.palette is not None and _is_grey(image.palette)) else 3


def is_described(image: Image.Image) -> bool:
    """Return whether the file holds EXIF or XMP, which may say how the image is turned."""
    return bool(image.info.keys() & _DESCRIBED)


def orientation(image: Image.Image) -> int:
    """Return how the image is turned: EXIF's number, 1 for upright."""
    if image.format == "JPEG" and not is_described(image):
        return 1
    try:
        with quiet():
            found = image.getexif().get(_ORIENTATION)
    except Exception:  # a picture whose EXIF is damaged is still a picture, and nothing says that it is turned
        return 1
    return found if found in _UPRIGHT else 1


def is_turned(image: Image.Image) -> bool:
    """Return whether the image is not upright."""
    return orientation(image) in _UPRIGHT


def upright(image: Image.Image, kept: Stored, channels: int) -> Picture:
    """Convert the pixels of an image that is loaded.

    Raises:
        UnknownRangeError: if black and white are unknown.
    """
    if kept.white:
        picture = _shallow(image, kept)
    else:
        picture, mode = _opaque(image, kept), "L" if channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
    transposition = _UPRIGHT.get(orientation(image))
    return picture if transposition is None else picture.transpose(transposition)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop Pillow's warnings inside the block."""
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_grey(palette: ImagePalette) -> bool:
    sample = Image.new("P", (1, 1))
    sample.putpalette(palette.palette, palette.rawmode or palette.mode)
    colours = np.array(sample.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _opaque(image: Image.Image, kept: Stored) -> Image.Image:
    """Return the image without transparency, laid over white."""
    if not image.has_transparency_data:
        return image
    if image.mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    if kept.rawmode:
        image.info["transparency"] = _key(image.info.get("transparency"), kept.rawmode)
    layer = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(layer, mask=layer.getchannel("A"))
    return paper


def _key(transparent: object, rawmode: str) -> object:
    """Return the transparent colour of a PNG as Pillow has its pixels; it leaves it in the file's own depth."""
    if isinstance(transparent, int):
        return transparent * {"L;2": 85, "L;4": 17}.get(rawmode, 1)
    if isinstance(transparent, tuple) and "16" in rawmode:
        return tuple(value >> 8 for value in transparent)
    return transparent


def _shallow(image: Image.Image, kept: Stored) -> Image.Image:
    """Convert grey of other numbers than 0 … 255 to 8 bits, by the format's own black and white."""
    values, white = np.asarray(image), kept.white
    if kept.bits == 8:
        values = values.view(np.int8)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= white):
        raise UnknownRangeError(f"pixels outside 0 … {white}, so that black and white are unknown")
    if values.dtype.kind == "f":
        scaled = np.rint(values * 255)
    else:  # white is odd, so that nothing lies halfway
        scaled = (values.astype(np.uint32) * 255 + white // 2) // white
    pixels = 255 - scaled.astype(np.uint8) if kept.inverted else scaled.astype(np.uint8)
    if isinstance(key := image.info.get("transparency"), int):
        pixels[values == key] = 255
    return Image.fromarray(pixels)
