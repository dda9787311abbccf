"""Why an image can't be read: by the name of its kind if it is sound, and as damaged only if it is."""

import io

import numpy as np
import pytest
from PIL import Image

from striate.data.images.decode import UndecodableError, decode
from striate.data.images.unreadable import reason_for


def reason(content: bytes) -> str:
    with pytest.raises(UndecodableError) as caught:
        decode(content)
    return caught.value.reason


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, a format that is not read: convert it"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photograph (CR3)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51\0\x2f", "a JPEG 2000 image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\1\0\1\0\x10\x10", "an icon"),
        (b"%PDF-1.7", "a PDF document"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns=', "an SVG drawing"),
        (b"<!DOCTYPE html><html>", "a web page, and no image"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"some text", "not an image"),
        (b"", "empty file"),
    ],
)
def test_other_files_are_named(start: bytes, kind: str) -> None:
    assert reason(start + bytes(64) * bool(start)).startswith(kind)


@pytest.fixture
def photograph() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG", exif=Image.Exif(), icc_profile=bytes(3000))
    return file.getvalue()


@pytest.mark.parametrize(
    ("offset", "value", "kind"),
    [
        (1, 0xC3, "a lossless JPEG, a kind that is not read"),
        (1, 0xC5, "a hierarchical JPEG"),
        (4, 12, "a JPEG of 12 bits, and 8 are read"),
        (9, 2, "a JPEG of 2 channels, and grey, colour and CMYK are read"),
    ],
)
def test_jpegs_of_other_kinds_are_not_called_damaged(photograph: bytes, offset: int, value: int, kind: str) -> None:
    frame = photograph.index(b"\xff\xc0")
    changed = photograph[: frame + offset] + bytes([value]) + photograph[frame + offset + 1 :]
    assert reason(changed).startswith(kind)


def test_what_a_decoder_calls_unsupported_is_not_called_damaged() -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "BMP")
    content = bytearray(file.getvalue())
    content[30] = 5  # BI_PNG
    assert reason(bytes(content)).startswith("a BMP of a kind that is not read (Unsupported BMP compression")


def test_messages_of_damage_stay() -> None:
    assert reason_for(b"\x89PNG....", "broken PNG file") == "damaged (broken PNG file)"
    assert reason_for(b"\x89PNG....", "image file is truncated (3 bytes)") == "truncated"
