"""Errors for images that can't be read: damaged ones, and sound ones of a format that is not read, which is named."""

import io
import os
import re
import struct
from typing import TypeAlias

from PIL import TiffImagePlugin, features

from striate.errors import DataError

Source: TypeAlias = str | os.PathLike[str] | bytes

_READ = {  # the formats that are read, by the first bytes
    r"BM": "BMP",
    r"GIF8": "GIF",
    r"\xff\xd8\xff": "JPEG",
    r"\x89PNG": "PNG",
    r"II[*+]\0|MM\0[*+]": "TIFF",
    r"RIFF....WEBP": "WebP",
    r"P[1-6]\s": "PNM",
    r"....ftypavi[fs]": "AVIF",
}
_OTHERS = {  # other images that people have, by the first bytes
    r"....ftyp(hei|hev|mif1|msf1)": "a HEIC image",
    r"....ftypcrx": "a raw photograph (CR3)",
    r"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000 image",
    r"\0\0\0\x0cJXL |\xff\x0a": "a JPEG XL image",
    r"8BPS": "a Photoshop document",
    r"\x76\x2f\x31\x01": "an OpenEXR image",
    r"#\?RADIANCE": "a Radiance HDR image",
    r"P7\s": "a PAM image",
    r"\x00\x00\x01\x00": "an icon",
    r"DDS ": "a DDS texture",
    r"qoif": "a QOI image",
    r"gimp xcf": "a GIMP document",
    r"SIMPLE  =": "a FITS image",
    r".{128}DICM": "a DICOM image",
    r"(?i:\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg)": "an SVG drawing",
    r"%PDF": "a PDF document",
}
_NO_IMAGES = {  # what is taken for an image
    r"(?i:\s*<(!doctype html|html))": "a web page, and no image",
    r"version https://git-lfs": "a pointer of Git LFS, and the file itself was not fetched (git lfs pull)",
}
_START = 1024  # bytes
_UNSUPPORTED = re.compile(
    r"(not |un)supported|not available|cannot handle|unknown (pixel|raw)? ?mode|unrecognized", re.I
)
# ITU-T T.81, table B.1, and what Pillow's libjpeg-turbo does not decode.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_UNREAD_FRAMES = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless",
    0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical",
}  # fmt: skip


class UndecodableError(DataError):
    """Error for one image that can't be decoded; `reason` is a short clause that does not name the image."""

    def __init__(self, reason: str, source: Source):
        self.reason = reason
        name = "the image" if isinstance(source, bytes) else os.fspath(source)
        super().__init__(f"{name} can't be used: {reason}.")


def reason_for(content: bytes, message: str) -> str:
    """Return the true reason why a file can't be decoded.

    Args:
        content: of the file, or at least its first 16 MiB.
        message: of the decoder; empty if it does not know the format.
    """
    start = content[:_START]
    if not start:
        return "empty file"
    kind = _first(_READ, start)
    if kind is None:
        if other := _first(_OTHERS, start):
            return f"{other}, a format that is not read: convert it to PNG or JPEG"
        return _first(_NO_IMAGES, start) or "not an image"
    if kind == "JPEG" and (other := _jpeg(content)):
        return other
    if kind == "TIFF" and not message and (other := _tiff(content)):
        return other
    if kind == "AVIF" and not features.check("avif"):
        return "an AVIF image, and this Pillow was built without that format"
    if _UNSUPPORTED.search(message):
        return f"a {kind} of a kind that is not read ({message}): convert it to PNG or JPEG"
    if not message:
        return "damaged or truncated header"
    return "truncated" if "truncated" in message.lower() else f"damaged ({message})"


def _first(patterns: dict[str, str], start: bytes) -> str | None:
    return next((name for each, name in patterns.items() if re.match(each.encode(), start, re.S)), None)


def _jpeg(content: bytes) -> str:
    """Name what of a JPEG is beyond this decoder; empty if nothing is."""
    place = 2
    while content[:2] == b"\xff\xd8" and place + 10 <= len(content) and content[place] == 0xFF:
        marker, length, bits, _, _, channels = struct.unpack_from(">xBHBHHB", content, place)
        if marker in _FRAMES:
            if marker in _UNREAD_FRAMES:
                return f"a {_UNREAD_FRAMES[marker]} JPEG, a kind that is not read: convert it to PNG"
            if bits != 8:
                return f"a JPEG of {bits} bits, and 8 are read: convert it to PNG"
            if channels not in (1, 3, 4):
                return f"a JPEG of {channels} channels, and grey, colour and CMYK are read: convert it to PNG"
            return ""
        place += 2 + length
    return ""


def _tiff(content: bytes) -> str:
    """Describe a TIFF whose header is sound; empty if it is not."""
    tags = TiffImagePlugin
    try:
        head = content[:16] if content[2:4] in (b"+\0", b"\0+") else content[:8]
        directory = tags.ImageFileDirectory_v2(head)
        file = io.BytesIO(content)
        file.seek(directory.next)
        directory.load(file)
        if not min(directory[tags.IMAGEWIDTH], directory[tags.IMAGELENGTH]) > 0:
            return ""
        bands = int(directory.get(tags.SAMPLESPERPIXEL, 1))
        bits = sorted({int(each) for each in directory.get(tags.BITSPERSAMPLE, (1,))})
        numbers = {2: "signed ", 3: "floating-point "}.get(directory.get(tags.SAMPLEFORMAT, (1,))[0], "")
    except Exception:  # whatever Pillow raises for it, its header is damaged
        return ""
    plural = "s" if bands > 1 else ""
    return (
        f"a TIFF of {bands} band{plural} of {' and '.join(map(str, bits))} {numbers}bits, a kind that is not read: "
        "convert it to grey or RGB"
    )
