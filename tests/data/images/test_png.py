"""PNG files whose pixels are fine, whatever their texts and profiles hold."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from striate.data.images.decode import UndecodableError, decode, probe
from striate.data.images.png import without_texts


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture
def content(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


BIG = zlib.compress(b"A" * (2**20 + 2))
LARGE = {
    "profile": chunk(b"iCCP", b"p\0\0" + BIG),
    "text": chunk(b"zTXt", b"Comment\0\0" + BIG),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BIG),
    "many": chunk(b"zTXt", b"C\0\0" + zlib.compress(b"A" * 10**6)) * 70,
    "damaged": chunk(b"zTXt", b"C\0\0" + b"no zlib"),
}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "many")) for kind in LARGE])
@pytest.mark.parametrize("before", [True, False])
def test_large_metadata_do_not_decide_whether_a_picture_is_read(
    content: bytes, pixels: np.ndarray, kind: str, before: bool
) -> None:
    place = 33 if before else len(content) - 12
    found = content[:place] + LARGE[kind] + content[place:]
    assert np.array_equal(decode(found), pixels)
    assert probe(found) == (20, 12, 3)


@pytest.mark.parametrize("packed", [True, False])
def test_an_orientation_among_large_metadata_counts(content: bytes, pixels: np.ndarray, packed: bool) -> None:
    xmp = b'<x tiff:Orientation="6"/>' + b" " * 2**21
    start = b"XML:com.adobe.xmp\0" + (b"\1\0\0\0" if packed else b"\0\0\0\0")
    text = chunk(b"iTXt", start + (zlib.compress(xmp) if packed else xmp)) + LARGE["profile"]
    found = content[:33] + text + content[33:]
    assert np.array_equal(decode(found), np.rot90(pixels, 3))
    assert probe(found) == (12, 20, 3)


def test_a_damaged_png_with_texts_is_still_damaged(content: bytes) -> None:
    found = content[:33] + LARGE["text"] + content[33:]
    for cut in (60, len(content) // 2):
        with pytest.raises(UndecodableError) as caught:
            decode(found[:-cut])
        assert caught.value.reason == "truncated"
    assert without_texts(content) is None
    assert without_texts(b"GIF89a") is None
    assert without_texts(found) == content


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_no_bit_of_the_pixels_changes_unnoticed(mode: str, pixels: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "PNG")
    content = file.getvalue()
    expected = decode(content)
    start = content.index(b"IDAT") + 4
    for place in range(start, len(content) - 12, 7):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(UndecodableError):
            decode(bytes(damaged))
    assert np.array_equal(decode(content), expected)
