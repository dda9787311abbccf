"""The one decoder: every kind of image file gives the right pixels, or one plain reason why not."""

import io
import os
import struct
import time
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from striate.data.images import jpeg
from striate.data.images.decode import SUFFIXES, UndecodableError, decode, decode_to, probe
from striate.errors import ArgumentError, DataError
from striate.resizing import pixels_of

ORIENTATION = 0x0112

# How EXIF (Exif 2.32, section 4.6.4, tag 274) says that the stored rows and columns lie, as what a camera does to an
# upright image: position (row, column) of the upright image, for the stored position and the stored height and width.
STORED_AT = {
    1: lambda up: up,
    2: lambda up: up[:, ::-1],
    3: lambda up: up[::-1, ::-1],
    4: lambda up: up[::-1],
    5: lambda up: up.swapaxes(0, 1),
    6: lambda up: up.swapaxes(0, 1)[::-1],
    7: lambda up: up.swapaxes(0, 1)[::-1, ::-1],
    8: lambda up: up.swapaxes(0, 1)[:, ::-1],
}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reason(source: Path | bytes) -> str:
    with pytest.raises(UndecodableError) as caught:
        decode(source)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_colour_comes_back_exactly(kind: str, pixels: np.ndarray) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(saved(Image.fromarray(pixels), kind, **options)), pixels)


def test_jpeg_is_close(pixels: np.ndarray) -> None:
    smooth = np.asarray(Image.fromarray(pixels).resize((200, 120), Image.Resampling.BICUBIC))
    found = decode(saved(Image.fromarray(smooth), "JPEG", quality=95, subsampling=0))
    assert found.shape == (120, 200, 3)
    assert np.abs(found.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "PPM"])
def test_grey_stays_one_channel(kind: str, pixels: np.ndarray) -> None:
    grey = pixels[:, :, 0]
    content = saved(Image.fromarray(grey), kind)
    assert np.array_equal(decode(content), grey[:, :, None])
    assert probe(content) == (20, 12, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_all_orientations_give_the_same_pixels(kind: str, orientation: int, pixels: np.ndarray) -> None:
    if kind == "JPEG":  # whose blocks of 8×8 must hold one colour each to survive being compressed in any direction
        pixels = np.kron(pixels[:3, :5, :1] // 64 * 64, np.ones((8, 8, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED_AT[orientation](pixels)))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    content = saved(stored, kind, exif=exif, **options)
    found = decode(content)
    assert np.abs(found.astype(int) - pixels).max() <= (2 if kind == "JPEG" else 0)
    assert probe(content) == (pixels.shape[1], pixels.shape[0], 3)


def test_damaged_exif_does_not_turn_or_lose_the_image(pixels: np.ndarray) -> None:
    content = saved(Image.fromarray(pixels), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(decode(content), pixels)


@pytest.mark.parametrize("orientation", [0, 9, 55551])
def test_an_orientation_that_is_none_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = saved(photograph(32, 16), "JPEG", exif=exif)
    assert probe(content) == (32, 16, 3)
    assert decode(content).shape == (16, 32, 3)


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    deep = np.array([[0, 128, 257, 300], [32768, 40000, 65534, 65535]], dtype=np.uint16)
    expected = np.array([[0, 0, 1, 1], [128, 156, 255, 255]], dtype=np.uint8)
    for kind in ("PNG", "TIFF"):
        content = saved(Image.fromarray(deep), kind)
        assert decode(content)[:, :, 0].tolist() == expected.tolist()
        assert probe(content) == (4, 2, 1)
    pgm = b"P5 4 2 65535\n" + deep.astype(">u2").tobytes()
    assert decode(pgm)[:, :, 0].tolist() == expected.tolist()


def test_floating_point_grey_runs_from_0_to_1() -> None:
    content = saved(Image.fromarray(np.array([[0, 0.25], [0.5, 1]], dtype=np.float32)), "TIFF")
    assert decode(content)[:, :, 0].tolist() == [[0, 64], [128, 255]]
    assert "outside 0 … 1" in reason(saved(Image.fromarray(np.array([[0, 200]], dtype=np.float32)), "TIFF"))
    assert "outside 0 … 65535" in reason(saved(Image.fromarray(np.array([[-1, 70000]], dtype=np.int32)), "TIFF"))


def test_one_bit_is_black_and_white() -> None:
    bits = Image.fromarray(np.array([[0, 255, 0]], dtype=np.uint8)).convert("1")
    assert decode(saved(bits, "PNG"))[:, :, 0].tolist() == [[0, 255, 0]]


def test_transparency_is_laid_over_white() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], dtype=np.uint8)
    assert decode(saved(Image.fromarray(rgba), "PNG"))[0].tolist() == [[10, 20, 30], [255, 255, 255], [127, 127, 127]]
    grey = Image.fromarray(rgba).convert("LA")
    found = decode(saved(grey, "PNG"))
    assert found.shape == (1, 3, 1)
    assert found[0, 1:, 0].tolist() == [255, 127]


def test_a_transparent_colour_is_white() -> None:
    grey = Image.fromarray(np.array([[7, 9]], dtype=np.uint8))
    assert decode(saved(grey, "PNG", transparency=7))[:, :, 0].tolist() == [[255, 9]]
    colour = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8))
    assert decode(saved(colour, "PNG", transparency=(1, 2, 3)))[0].tolist() == [[255, 255, 255], [4, 5, 6]]


def test_a_palette_becomes_its_colours(pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels).quantize(16)
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert np.array_equal(decode(saved(image, kind)), np.asarray(image.convert("RGB")))
    clear = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "L").convert("P")
    clear.putpalette([50, 60, 70, 80, 90, 100])
    content = saved(clear, "PNG", transparency=b"\x00\xff")
    assert decode(content)[0].tolist() == [[255, 255, 255], [80, 90, 100]]


def test_a_palette_of_greys_is_grey() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "L").convert("P")
    image.putpalette([5, 5, 5, 90, 90, 90, 200, 200, 200])
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        content = saved(image, kind)
        assert probe(content)[2] == 1
        assert decode(content)[:, :, 0].tolist() == [[5, 90, 200]]


def test_cmyk_becomes_rgb() -> None:
    ink = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan alone
    for kind in ("JPEG", "TIFF"):
        found = decode(saved(ink, kind))
        assert found.shape == (16, 16, 3)
        assert np.abs(found[8, 8].astype(int) - [0, 255, 255]).max() <= 3


def test_the_first_frame_of_an_animation_counts(pixels: np.ndarray) -> None:
    first, second = Image.fromarray(pixels[:, :, 0]), Image.fromarray(255 - pixels[:, :, 0])
    content = saved(first, "GIF", save_all=True, append_images=[second])
    assert np.array_equal(decode(content)[:, :, 0], pixels[:, :, 0])


def test_photographs_of_several_pictures_as_telephones_take_them() -> None:
    content = saved(Image.new("RGB", (16, 8), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert decode(content).shape == (8, 16, 3)


def test_probe_tells_what_decode_gives(pixels: np.ndarray, tmp_path: Path) -> None:
    modes = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    for mode in modes:
        path = tmp_path / f"{mode.replace(';', '')}.png"
        grey = Image.fromarray(pixels[:, :, 0].astype(np.uint16))
        (grey if mode == "I;16" else Image.fromarray(pixels).convert(mode)).save(path)
        width, height, channels = probe(path)
        assert decode(path).shape == (height, width, channels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_file_cut_off_anywhere_is_refused(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), kind)
    assert reason(content[: max(4, int(len(content) * share))])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_file_is_called_truncated(kind: str, pixels: np.ndarray, tmp_path: Path) -> None:
    content = saved(Image.fromarray(pixels), kind)
    path = tmp_path / f"half.{kind.lower()}"
    path.write_bytes(content[: len(content) * 3 // 4])
    assert reason(path) == "truncated"


def test_the_reasons_are_plain(pixels: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("an image, honestly")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    assert reason(tmp_path / "empty.png") == "empty file"
    assert reason(tmp_path / "text.jpg") == "not an image"
    assert reason(tmp_path / "link.png") == "can't be read (No such file or directory)"
    assert reason(tmp_path) == "can't be read (Is a directory)"
    assert reason(saved(Image.fromarray(pixels), "PNG")[:20]) == "truncated"
    assert reason(saved(Image.fromarray(pixels), "JPEG")[:20]) == "damaged or truncated header"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    for name in ("pipe.png", "endless.jpg"):
        assert reason(tmp_path / name) == "can't be read (not a regular file)"
        with pytest.raises(UndecodableError, match="not a regular file"):
            probe(tmp_path / name)


def without(content: bytes, kind: bytes) -> bytes:
    """A PNG without its chunk of a kind."""
    place = content.index(kind) - 4
    return content[:place] + content[place + 12 + struct.unpack_from(">I", content, place)[0] :]


def test_a_palette_image_without_its_palette_is_damaged(pixels: np.ndarray) -> None:
    content = without(saved(Image.fromarray(pixels).quantize(16), "PNG"), b"PLTE")
    assert reason(content).startswith("damaged")


def test_whatever_a_decoder_raises_is_a_bad_file(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.fromarray(pixels), "PNG")
    for error in (AssertionError(), struct.error("short"), RuntimeError("no"), MemoryError(), zlib.error("bad")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(Image.Image, "load", fail)
        assert reason(content) in ("damaged (AssertionError)", "damaged (short)", "damaged (no)", "damaged (bad)") or (
            isinstance(error, MemoryError) and reason(content) == "more pixels than memory can hold"
        )


def test_an_error_in_what_takes_the_picture_is_not_the_files(pixels: np.ndarray) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decode_to(fail, saved(Image.fromarray(pixels), "PNG"))


def test_a_wrong_suffix_does_not_matter(pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "really-png.JPG"
    path.write_bytes(saved(Image.fromarray(pixels), "PNG"))
    assert np.array_equal(decode(path), pixels)
    assert np.array_equal(decode(str(path)), pixels)


def claiming(content: bytes, width: int, height: int) -> bytes:
    """A PNG whose header claims another size."""
    header = content[12:16] + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


@pytest.mark.parametrize("side", [13_378, 20_000, 2**31 - 1])
def test_an_image_of_too_many_pixels_is_refused_from_its_header(side: int) -> None:
    content = claiming(saved(Image.new("L", (1, 1)), "PNG"), side, side)
    for function in (probe, decode):
        with pytest.raises(UndecodableError, match=r"too large: \d+ million pixels, and --max-pixels.* is 179"):
            function(content)


def test_the_limit_of_pixels_can_be_raised_and_lowered(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.fromarray(pixels), "PNG")
    monkeypatch.setenv("STRIATE_MAX_PIXELS", str(12 * 20))
    assert np.array_equal(decode(content), pixels)
    monkeypatch.setenv("STRIATE_MAX_PIXELS", str(12 * 20 - 1))
    assert "too large" in reason(content)
    monkeypatch.setenv("STRIATE_MAX_PIXELS", str(500_000_000))
    assert probe(claiming(content, 20_000, 20_000)) == (20_000, 20_000, 3)
    monkeypatch.setenv("STRIATE_MAX_PIXELS", "many")
    with pytest.raises(ArgumentError, match="STRIATE_MAX_PIXELS=many: expected a number of pixels"):
        probe(content)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(12_000, 9_000), (16_320, 12_240)])
def test_photographs_of_108_and_200_megapixels_are_read(size: tuple[int, int]) -> None:
    """As telephones take them; training decodes an eighth of each side."""
    file = io.BytesIO()
    photograph(400, 300).resize(size, Image.Resampling.BILINEAR).save(file, "JPEG", quality=60)
    content = file.getvalue()
    assert probe(content) == (*size, 3)
    found = decode(content, lambda width, height: (size[0] // 8, size[1] // 8))
    expected = np.asarray(photograph(400, 300).resize((size[0] // 8, size[1] // 8), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected).mean() < 3


def test_formats_that_run_outside_programs_are_no_images() -> None:
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n") == "not an image"


def test_the_error_names_the_file_and_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png can't be used: can't be read"):
        probe(tmp_path / "gone.png")


def test_threads_leave_the_warning_filters_alone(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.fromarray(pixels), "PNG")
    really_open, pauses = Image.open, iter([0.001, 0.003] * 100)

    def slowly_open(*arguments: object, **options: object) -> Image.Image:
        time.sleep(next(pauses))  # so that threads would meet here if they could
        return really_open(*arguments, **options)

    monkeypatch.setattr(Image, "open", slowly_open)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert len({image.tobytes() for image in pool.map(decode, [content] * 64)}) == 1
    assert warnings.filters == before


def test_suffixes_are_lower_case_with_their_dot() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".bmp"} <= SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in SUFFIXES)


def photograph(width: int, height: int) -> Image.Image:
    """Smooth colours with sharp edges between them."""
    noise = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    picture.paste((250, 240, 20), (width // 4, height // 3, width // 2, height // 2))
    return picture


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        ((400, 240), (240, 400)),
        ((399, 239), (240, 400)),
        ((201, 100), (240, 400)),
        ((200, 120), (120, 200)),
        ((101, 10), (120, 200)),
        ((100, 60), (60, 100)),
        ((50, 30), (30, 50)),
        ((1, 1), (30, 50)),
        ((4000, 2400), (240, 400)),
    ],
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_enough(
    options: dict[str, object], least: tuple[int, int], expected: tuple[int, int]
) -> None:
    content = saved(photograph(400, 240), "JPEG", quality=92, **options)
    asked = []

    def at_least(width: int, height: int) -> tuple[int, int]:
        asked.append((width, height))
        return least

    found = decode(content, at_least)
    assert asked == [(400, 240)]
    assert found.shape == (*expected, 3)
    shrunk = Image.fromarray(decode(content)).resize(expected[::-1], Image.Resampling.BOX)
    assert np.abs(found.astype(int) - np.asarray(shrunk)).mean() < 3


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_modes_are_reduced_too(mode: str) -> None:
    content = saved(photograph(160, 80).convert(mode), "JPEG")
    found = decode(content, lambda width, height: (20, 10))
    assert found.shape == (10, 20, 1 if mode == "L" else 3)
    full = Image.fromarray(decode(content).squeeze()).resize((20, 10), Image.Resampling.BOX)
    assert np.abs(found.squeeze().astype(int) - np.asarray(full)).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_photograph_is_upright_and_asked_for_as_such(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED_AT[orientation](np.asarray(photograph(320, 160)))))
    asked = []

    def at_least(width: int, height: int) -> tuple[int, int]:
        asked.append((width, height))
        return 80, 30

    found = decode(saved(stored, "JPEG", exif=exif, subsampling=0), at_least)
    assert asked == [(320, 160)]
    assert found.shape == (40, 80, 3)
    upright = decode(saved(photograph(320, 160), "JPEG", subsampling=0), at_least)
    assert np.abs(found.astype(int) - upright).mean() < 2


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["L", "RGB"]),
    st.integers(1, 100),
    st.booleans(),
    st.integers(0, 2),
    st.integers(2, 70),  # a single pixel has several scales
)
def test_jpegs_come_out_as_from_pillow(
    width: int, height: int, mode: str, quality: int, progressive: bool, subsampling: int, least: int
) -> None:
    picture = photograph(width, height).convert(mode)
    chroma = {"subsampling": subsampling} if mode == "RGB" else {}
    content = saved(picture, "JPEG", quality=quality, progressive=progressive, **chroma)
    with Image.open(io.BytesIO(content)) as expected:
        expected.draft(None, (least, least))
        assert np.array_equal(decode(content, lambda wide, high: (least, least)), pixels_of(expected))


def test_most_jpegs_are_read_without_pillow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those in other colours are not, and of those with EXIF Pillow reads the header."""
    plain = [saved(photograph(160, 80).convert(mode), "JPEG") for mode in ("L", "RGB")]
    upright = Image.Exif()
    upright[ORIENTATION] = 1
    described = [saved(photograph(160, 80).convert(mode), "JPEG", exif=upright) for mode in ("L", "RGB")]
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    large = tmp_path / "large.jpg"
    large.write_bytes(saved(Image.fromarray(noise), "JPEG", quality=95))
    assert large.stat().st_size > 2**18

    def refuse(*_: object, **__: object) -> None:
        raise OSError("not asked for")

    monkeypatch.setattr(JpegImageFile, "load", refuse)
    for content, channels in zip(plain + described, (1, 3, 1, 3), strict=True):
        assert decode(content).shape == (80, 160, channels)
        assert decode(content, lambda width, height: (20, 10)).shape == (10, 20, channels)
        assert probe(content) == (160, 80, channels)
    assert reason(saved(photograph(160, 80).convert("CMYK"), "JPEG")) == "damaged (not asked for)"
    monkeypatch.setattr(Image, "open", refuse)
    assert all(decode(content).shape[:2] == probe(content)[1::-1] == (80, 160) for content in plain)
    assert decode(large).shape == (600, 600, 3)
    assert all(reason(content) == "damaged (not asked for)" for content in described)


def test_a_plain_jpeg_of_too_many_pixels_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(photograph(160, 80), "JPEG")
    monkeypatch.setattr(jpeg, "MANY_PIXELS", 12_799)
    monkeypatch.setenv("STRIATE_MAX_PIXELS", "12800")
    assert decode(content).shape == (80, 160, 3)
    monkeypatch.setenv("STRIATE_MAX_PIXELS", "12799")
    assert decode(content, lambda width, height: (80, 40)).shape == (40, 80, 3)
    assert "too large" in reason(content)


def test_what_is_refused_says_so_from_a_jpegs_first_bytes(tmp_path: Path) -> None:
    """A file of no end is not read to it."""
    endless = tmp_path / "endless.jpg"
    content = saved(photograph(160, 80), "JPEG")
    frame = content.index(b"\xff\xc0") + 5
    with endless.open("wb") as file:
        file.write(content[:frame] + b"\xff\xff\xff\xff" + content[frame + 4 :])
        file.truncate(2**40)  # a hole
    try:
        assert "too large: 4295 million pixels" in reason(endless)
    finally:
        endless.unlink()  # whoever copies what tests leave behind would fill a disk with it


def test_a_jpeg_that_is_not_quite_right_is_left_to_pillow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(photograph(160, 80), "JPEG")
    padded = content[:-2] + bytes(16) + content[-2:]
    expected, tried, once = decode(content), [], jpeg.pixels_of
    monkeypatch.setattr(jpeg, "pixels_of", lambda *given: tried.append(once(*given)) or tried[-1])
    assert np.array_equal(decode(padded), expected)
    assert tried == [None]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_lies_where_it_was_offered_a_place(mode: str) -> None:
    content = saved(photograph(640, 480).convert(mode), "JPEG")
    for at_least in (None, lambda width, height: (200, 100)):
        expected = decode(content, at_least)
        place = np.zeros(expected.shape, np.uint8)
        asked: list[tuple[int, ...]] = []

        def offer(wanted: tuple[int, int, int], asked: list = asked, place: np.ndarray = place) -> np.ndarray:
            asked.append(wanted)
            return place

        assert decode_to(lambda picture: picture, content, at_least, offer=offer) is place
        assert asked == [expected.shape]
        assert np.array_equal(place, expected)


def test_only_jpegs_are_reduced() -> None:
    picture = photograph(64, 48)
    assert np.array_equal(decode(saved(picture, "PNG"), lambda width, height: (4, 3)), np.asarray(picture))


def test_a_truncated_jpeg_is_found_at_a_reduced_scale_too() -> None:
    content = saved(photograph(640, 480), "JPEG")
    for cut in (2, 100, len(content) // 2):
        with pytest.raises(UndecodableError, match="truncated"):
            decode(content[:-cut], lambda width, height: (10, 10))


@pytest.mark.parametrize(
    ("size", "options", "taken"),
    [
        ((2000, 1000), {"format": "PNG"}, False),
        ((6000, 5000), {"format": "PNG"}, True),
        ((6000, 5000), {"format": "JPEG"}, False),  # reduced to 750×625
        ((6000, 5000), {"format": "JPEG", "progressive": True}, True),
    ],
)
def test_very_large_images_are_decoded_one_at_a_time(
    size: tuple[int, int], options: dict[str, object], taken: bool
) -> None:
    content = io.BytesIO()
    Image.new("L", size).save(content, **options)
    turns = []

    @contextmanager
    def lock() -> Iterator[None]:
        turns.append(True)
        yield

    decode(content.getvalue(), lambda width, height: (100, 100), lock=lock())
    assert bool(turns) is taken
