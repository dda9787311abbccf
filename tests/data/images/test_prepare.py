"""One way from a file to the pixels a network sees."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from strategies import quick

from striate import preprocess as preprocessing
from striate.data.images import prepare as module
from striate.data.images.decode import UndecodableError, decode
from striate.data.images.image_ref import ImageRef
from striate.data.images.prepare import Stack, prepare, prepare_all
from striate.preprocess import FITS, Fit, Preprocess
from striate.resizing import Picture, pixels_of, resized_together


def preprocess_of(height: int, width: int, channels: int = 3, fit: Fit = "letterbox") -> Preprocess:
    return Preprocess(height, width, channels, fit, (0.0,) * channels, (1.0,) * channels)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour gradients with sharp circles and lines: a JPEG of 1200×800."""
    random = np.random.default_rng(1)
    picture = Image.fromarray(random.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize(
        (1200, 800), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(picture)
    for _ in range(30):
        x, y, side = (int(each) for each in random.integers((0, 0, 5), (1200, 800, 200)))
        colour = tuple(int(each) for each in random.integers(0, 256, 3))
        draw.ellipse([x, y, x + side, y + side // 2], fill=colour)
        draw.line([x, y, y, x], fill=colour, width=3)
    path = tmp_path_factory.mktemp("jpeg") / "photograph.jpg"
    picture.save(path, quality=90)
    return path


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(32, 32), (64, 48), (100, 224), (224, 224)])
def test_reduced_decoding_hardly_changes_what_the_network_sees(
    size: tuple[int, int], fit: Fit, photograph: Path
) -> None:
    wanted = preprocess_of(*size, fit=fit)
    found, full = prepare(photograph, wanted).astype(int), wanted.conform(decode(photograph)).astype(int)
    assert found.shape == (*size, 3)
    assert np.abs(found - full).mean() < 0.7
    assert np.percentile(np.abs(found - full), 99) <= 6


@pytest.mark.parametrize("fit", FITS)
def test_decoding_gives_at_least_twice_what_is_wanted(
    fit: Fit, photograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def conform(self: Preprocess, picture: Picture) -> np.ndarray:
        seen.append(pixels_of(picture).shape)
        return really_conform(self, picture)

    really_conform = Preprocess.conform_picture
    monkeypatch.setattr(Preprocess, "conform_picture", conform)
    for side in (20, 40, 60, 99, 130, 300, 2000):
        wanted = preprocess_of(side, side, fit=fit)
        prepare(photograph, wanted)
        height, width, _ = seen[-1]
        wide, high = wanted.scaled(1200, 800)
        assert (height >= 2 * high and width >= 2 * wide) or (height, width) == (800, 1200)
        if side <= 130:
            assert (height, width) < (800, 1200)


def test_all_other_images_are_what_decoding_in_full_gives(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wanted = preprocess_of(5, 4)
    assert np.array_equal(prepare(tmp_path / "a.png", wanted), wanted.conform(pixels))
    assert np.array_equal(prepare((tmp_path / "a.png").read_bytes(), wanted), wanted.conform(pixels))


def test_bad_images_leave_their_place_as_it_was(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").touch()
    places = np.full((3, 5, 4, 3), 9, dtype=np.uint8)
    image_refs = [ImageRef(tmp_path / name) for name in ("a.png", "b.png", "gone.png")]
    wanted = preprocess_of(5, 4)
    assert prepare_all(image_refs, wanted, places) == {1: "empty file", 2: "can't be read (No such file or directory)"}
    assert np.array_equal(places[0], wanted.conform(pixels))
    assert (places[1:] == 9).all()


SIZES = ((50, 40), (40, 50), (50, 40), (24, 24), (200, 90))


class Content:
    """An image reference that is already in memory."""

    def __init__(self, source: bytes):
        self.source = source


def content(kind: str, size: tuple[int, int], mode: str, seed: int) -> bytes:
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG" if kind == "png" else "JPEG", quality=80)
    return file.getvalue()[: -100 if kind == "cut off" else None]


kinds = st.sampled_from(["jpeg", "jpeg", "jpeg", "png", "cut off"])
files = st.builds(content, kinds, st.sampled_from(SIZES), st.sampled_from(["RGB", "RGB", "L"]), st.integers(0, 99))


def made(depth: int, fit: str) -> Preprocess:
    return Preprocess(20, 24, depth, fit, (0.0,) * depth, (1.0,) * depth)


@pytest.mark.slow
@quick
@given(st.lists(files, max_size=12), st.sampled_from(FITS), st.sampled_from([1, 3]), st.sampled_from([2**14, 2**22]))
def test_together_is_one_after_the_other(sources: list[bytes], fit: str, depth: int, buffer_size: int) -> None:
    wanted = made(depth, fit)
    pixels = np.full((len(sources), 20, 24, depth), 9, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BUFFER_SIZE", buffer_size)
        problems = prepare_all([Content(source) for source in sources], wanted, pixels)
    untouched = np.full((20, 24, depth), 9, np.uint8)
    assert problems == {position: why for position, source in enumerate(sources) if (why := reason(source, wanted))}
    for position, source in enumerate(sources):
        expected = untouched if position in problems else prepare(source, wanted)
        assert np.array_equal(pixels[position], expected)


def reason(source: bytes, wanted: Preprocess) -> str | None:
    """Why it can't be decoded."""
    try:
        prepare(source, wanted)
    except UndecodableError as error:
        return error.reason
    return None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures were resized by each call."""
    counts: list[int] = []

    def counted(pictures: np.ndarray, *size: int) -> np.ndarray:
        counts.append(len(pictures))
        return resized_together(pictures, *size)

    monkeypatch.setattr(preprocessing, "resized_together", counted)
    return counts


def sized(*sizes: tuple[int, int]) -> list[Content]:
    return [Content(content("jpeg", size, "RGB", seed)) for seed, size in enumerate(sizes)]


def test_pictures_of_one_size_take_one_call(calls: list[int]) -> None:
    prepare_all(sized(*[(50, 40)] * 5, *[(40, 50)] * 2, (50, 40)), made(3, "crop"), np.empty((8, 20, 24, 3), np.uint8))
    assert calls == [5, 2, 1]


def test_the_room_for_them_is_bounded(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUFFER_SIZE", 3 * 50 * 40 * 3)
    prepare_all(sized(*[(50, 40)] * 7), made(3, "crop"), np.empty((7, 20, 24, 3), np.uint8))
    assert calls == [3, 3, 1]


def test_what_fits_already_is_not_resized(calls: list[int]) -> None:
    sources = sized(*[(24, 20)] * 3)
    pixels = np.empty((3, 20, 24, 3), np.uint8)
    assert not prepare_all(sources, made(3, "crop"), pixels)
    assert np.array_equal(pixels, [prepare(each.source, made(3, "crop")) for each in sources])
    assert not calls


@pytest.mark.parametrize("shape", [(30, 40, 1), (2000, 3000, 3), (0, 40, 3)])
def test_a_place_is_offered_to_small_pictures_of_these_channels_alone(shape: tuple[int, int, int]) -> None:
    stack = Stack(made(3, "crop"), np.empty((1, 20, 24, 3), np.uint8))
    assert stack.offer(shape) is None
    place = stack.offer((30, 40, 3))
    assert place is not None
    assert place.shape == (30, 40, 3)


def test_a_place_that_was_not_taken_is_offered_again() -> None:
    pixels = np.full((2, 20, 24, 3), 9, np.uint8)
    stack = Stack(made(3, "stretch"), pixels)
    stack.offer((30, 40, 3))
    place = stack.offer((30, 40, 3))
    assert place is not None
    place[:] = 5
    stack.take(1, place)
    stack.flush()
    assert (pixels[1] == 5).all()
    assert (pixels[0] == 9).all()
