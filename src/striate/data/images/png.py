"""PNG files: checksums that Pillow does not compare; texts and profiles that it refuses though the pixels are fine."""

import re
import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEFT_OUT = {b"iCCP", b"iTXt", b"tEXt", b"zTXt"}  # a profile and texts, none of which decides a pixel
_MOST = 2**26  # bytes of a text that are looked at, and of a file
_TURNED = re.compile(rb"tiff:Orientation(?:=['\"]|>)([1-8])")  # in XMP


def is_damaged(content: bytes) -> bool:
    """Return whether pixels of a PNG do not have their checksum (CRC-32).

    Pillow stops at the last pixel, and so does not see all damage.
    """
    view, place = memoryview(content), len(SIGNATURE)
    while place + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, place)
        data = view[place + 4 : place + 8 + length]
        place += 12 + length
        if (
            place <= len(view)
            and bytes(data[:4]) == b"IDAT"
            and view[place - 4 : place] != zlib.crc32(data).to_bytes(4, "big")
        ):
            return True
    return False


def without_texts(content: bytes) -> bytes | None:
    """Return a PNG without its texts and its profile; an orientation in them is kept as EXIF. None if it has none."""
    if not content.startswith(SIGNATURE):
        return None
    kept, left_out = [], []
    for kind, data, whole in _chunks(content):
        if kind in _LEFT_OUT:
            left_out.append((kind, data))
        else:
            kept.append((kind, whole))
    if not left_out:
        return None
    parts = [whole for _, whole in kept]
    turned = next((found[1] for kind, data in left_out if (found := _TURNED.search(_text(kind, data)))), None)
    if turned is not None and all(kind != b"eXIf" for kind, _ in kept):
        exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, int(turned), 0) + bytes(4)
        parts.insert(1, _chunk(b"eXIf", exif))  # after the header
    return SIGNATURE + b"".join(parts)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the kind, the data and all bytes of each chunk; what follows a damaged one is left to Pillow as it is."""
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 12 + length
        yield content[place + 4 : place + 8], content[place + 8 : end - 4], content[place:end]
        place = end
    if place < len(content):
        yield b"", b"", content[place:]


def _text(kind: bytes, data: bytes) -> bytes:
    """Return the text in a chunk, the compressed ones unfolded as far as is looked at."""
    _, _, rest = data.partition(b"\0")
    packed = rest[1:] if kind in (b"zTXt", b"iCCP") else rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else None
    if packed is None or kind == b"tEXt":
        return rest
    try:
        return zlib.decompressobj().decompress(packed, _MOST)
    except zlib.error:
        return b""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
