"""What counts as a JPEG that needs nothing but decoding, and at which scale."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate.data.images.jpeg import Header, pixels_of, plain_header, scale_for

APP1, APP2 = 0xFFE1, 0xFFE2


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (40, 24)).save(file, "JPEG", **options)
    return file.getvalue()


def with_segment(content: bytes, marker: int, held: bytes, fill: bytes = b"") -> bytes:
    """`content` with one more segment right after the start of the image."""
    segment = marker.to_bytes(2, "big") + (2 + len(held)).to_bytes(2, "big") + held
    return content[:2] + fill + segment + content[2:]


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"comment": b"\xff\xe1"}, {"icc_profile": b"x" * 70000}]
)
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_grey_and_colour_are_plain(mode: str, channels: int, options: dict[str, object]) -> None:
    assert plain_header(jpeg(mode, **options)) == Header(40, 24, channels)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xd8\xff",
        jpeg()[:20],
        jpeg("CMYK"),
        with_segment(jpeg(), APP1, b"Exif\0\0"),
        with_segment(jpeg(), APP1, b"http://ns.adobe.com/xap/1.0/\0"),
        with_segment(with_segment(jpeg(), APP1, b"Exif\0\0"), APP2, bytes(300)),
        with_segment(jpeg(), APP1, b"Exif\0\0", fill=b"\xff"),
        b"\x89PNG" + jpeg()[4:],
    ],
)
def test_what_may_be_turned_or_of_other_colours_is_not(content: bytes) -> None:
    assert plain_header(content) is None


@given(st.binary(max_size=60), st.integers(2, 40))
def test_any_bytes_have_a_header_or_none(noise: bytes, place: int) -> None:
    content = jpeg()
    for each in (noise, content[:place] + noise, content[:place] + noise + content[place + len(noise) :]):
        header = plain_header(each)
        assert header is None or header.channels in (1, 3)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600), st.integers(1, 600))
def test_a_scale_leaves_what_is_enough(width: int, height: int, wide: int, high: int) -> None:
    scale = scale_for(width, height, (wide, high))
    assert scale in (1, 2, 4, 8)
    assert scale == 1 or (width // scale >= wide and height // scale >= high)
    assert scale == 8 or width // (2 * scale) < wide or height // (2 * scale) < high


@pytest.mark.parametrize("cut", [1, 2, 100, 300])
def test_what_is_cut_off_has_no_pixels(cut: int) -> None:
    content = jpeg()
    assert pixels_of(content, 3, 40, 24) is not None
    assert pixels_of(content[:-cut], 3, 40, 24) is None
