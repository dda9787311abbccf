"""Pictures that store their numbers in unusual ways: each has the pixels of its twin with 8 bits."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from striate.data.images.decode import UndecodableError, decode, header, upright


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A PNG (W3C, third edition) of one channel or several: integers (H, W) or (H, W, channels)."""
    height, width = values.shape[:2]
    flat = values.reshape(height, -1)
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in flat]
    else:
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, bits: int, photometric: int = 1, sample_format: int = 1, extra: tuple = ()) -> bytes:
    """An uncompressed little-endian TIFF (6.0) of one strip: (H, W) or (H, W, bands), in the type of its numbers."""
    height, width = values.shape[:2]
    bands = 1 if values.ndim == 2 else values.shape[2]
    data = values.tobytes()
    if bits == 12:  # two numbers in three bytes, the high bits first
        pairs = values.reshape(-1, 2).astype(int)
        data = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
        data = data.astype(np.uint8).tobytes()
    tags = {
        256: [width], 257: [height], 258: [bits] * bands, 259: [1], 262: [photometric], 273: [0], 277: [bands],
        278: [height], 279: [len(data)], 338: list(extra), 339: [sample_format] * bands,
    }  # fmt: skip
    tags = {tag: numbers for tag, numbers in tags.items() if numbers}
    long = {tag: struct.pack(f"<{len(numbers)}I", *numbers) for tag, numbers in tags.items() if len(numbers) > 1}
    place = 8 + 2 + 12 * len(tags) + 4
    tags[273] = [place + sum(map(len, long.values()))]
    directory = struct.pack("<H", len(tags))
    for tag, numbers in sorted(tags.items()):
        directory += struct.pack("<HHII", tag, 4, len(numbers), place if tag in long else numbers[0])
        place += len(long.get(tag, b""))
    ordered = b"".join(long[tag] for tag in sorted(long))
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + ordered + data


RAMP = np.linspace(0, 255, 24).round().astype(np.uint8)[None].repeat(4, axis=0)
DEEP = RAMP.astype("<u2") * 257


def grey(content: bytes) -> list:
    found = decode(content)
    assert found.shape[2] == 1
    assert header(content)[:3] == (found.shape[1], found.shape[0], 1)
    return found[:, :, 0].tolist()


@pytest.mark.parametrize(
    "content",
    [
        tiff(RAMP, 8),
        tiff(255 - RAMP, 8, photometric=0),
        tiff(DEEP, 16),
        tiff(65535 - DEEP, 16, photometric=0),
        tiff((RAMP.astype(int) * 4095 + 127) // 255, 12),
        tiff(RAMP / np.float32(255), 32, sample_format=3),
        tiff(1 - RAMP / np.float32(255), 32, photometric=0, sample_format=3),
        png(RAMP.astype(int), 8, 0),
        png(DEEP.astype(int), 16, 0),
        png(np.stack([DEEP, np.full_like(DEEP, 65535)], 2).astype(int), 16, 4),
    ],
)
def test_grey_of_every_depth_is_that_of_8_bits(content: bytes) -> None:
    assert grey(content) == RAMP.tolist()


def test_signed_numbers_have_their_own_white() -> None:
    values = np.array([[0, 127, 64, 1]], dtype=np.int8)
    assert grey(tiff(values, 8, sample_format=2)) == [[0, 255, 129, 2]]
    assert grey(tiff(values.astype("<i2") * 258, 16, sample_format=2)) == [[0, 255, 129, 2]]
    for content in (tiff(-values, 8, sample_format=2), tiff(-values.astype("<i2"), 16, sample_format=2)):
        with pytest.raises(UndecodableError, match=r"pixels outside 0 … (127|32767), so that black and white"):
            decode(content)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_white_at_every_depth(depth: int) -> None:
    most = 2**depth - 1
    values = np.array([[0, most // 2 if depth > 1 else 0, most, most]])
    key = int(values[0, 1])
    expected = [255 if value == key else round(int(value) * 255 / most) for value in values[0]]
    assert grey(png(values, depth, 0, chunk(b"tRNS", struct.pack(">H", key)))) == [expected]


def test_transparency_of_16_bits_is_that_of_8() -> None:
    eight = np.array([[[10, 255], [10, 0], [200, 128]]])
    assert grey(png(eight * 257, 16, 4)) == grey(png(eight, 8, 4))
    colour = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 128]]])
    assert decode(png(colour * 257, 16, 6)).tolist() == decode(png(colour, 8, 6)).tolist()
    key = struct.pack(">HHH", 0x0A05, 0x1407, 0x1E09)
    opaque = np.array([[[0x0A05, 0x1407, 0x1E09], [5, 7, 9]]])
    assert decode(png(opaque, 16, 2, chunk(b"tRNS", key))).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("alpha", [1, 2])
def test_a_tiffs_alpha_is_laid_over_white_whether_associated_or_not(alpha: int) -> None:
    values = np.array([[[100, 255], [0, 0], [100, 128]]], dtype=np.uint8)
    found = grey(tiff(values, 8, extra=(alpha,)))
    shaded = 100 if alpha == 1 else 100 * 128 // 255
    assert np.abs(np.array(found[0]) - [100, 255, shaded + 127]).max() <= 1


@given(st.integers(1, 7), st.integers(0, 2), st.sampled_from([1, 2, 4, 8, 12, 16, 32, 64]), st.integers(1, 3))
def test_a_sound_tiff_is_read_or_its_kind_is_named(bands: int, photometric: int, bits: int, kind: int) -> None:
    """Never is it called damaged."""
    size = max(bits, 8) if bits != 12 else 16
    values = np.zeros((2, 2, bands) if bands > 1 else (2, 2), dtype=f"<{'?uif'[kind] if size > 8 else 'u'}{size // 8}")
    extra = (0,) * max(0, bands - (3 if photometric == 2 else 1))
    named = rf"a TIFF of {bands} bands? of {bits} (signed |floating-point |)bits, a kind that is not read"
    try:
        found = decode(tiff(values, bits, photometric, kind, extra)).shape[:2]
    except UndecodableError as error:
        found = (2, 2) if re.match(named, error.reason) else error.reason
    assert found == (2, 2)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_avif_is_read(orientation: int, pixels: np.ndarray) -> None:
    smooth = Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC)
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    smooth.save(file, "AVIF", quality=95, subsampling="4:4:4", exif=exif)
    found = decode(file.getvalue())
    assert found.shape[:2] == header(file.getvalue())[1::-1]
    assert found.shape == ((64, 48, 3) if orientation == 6 else (48, 64, 3))
    expected = np.rot90(np.asarray(smooth), {1: 0, 3: 2, 6: 3}[orientation]).astype(int)
    assert np.abs(found - expected).mean() < 4


def test_the_bits_of_a_file_are_known_from_its_header() -> None:
    assert header(png(DEEP.astype(int), 16, 0))[3] == 16
    assert header(png(np.zeros((1, 1, 3), dtype=int), 16, 2))[3] == 16
    assert header(tiff(np.zeros((1, 2, 3), "<u2"), 16, 2))[3] == 16
    assert header(png(RAMP.astype(int), 8, 0))[3] == 8
    assert header(tiff(RAMP, 8))[3] == 8


def test_images_that_pillow_has_opened_are_converted_alike() -> None:
    for content in (tiff(65535 - DEEP, 16, photometric=0), png(DEEP.astype(int), 16, 0)):
        with Image.open(io.BytesIO(content)) as image:
            assert upright(image).tolist() == decode(content).tolist()
