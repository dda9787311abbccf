"""Pictures conformed together are what each is by itself, whatever their sizes and whichever are bad."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import quick

from striate import preprocess as preprocessing
from striate.data import stacking
from striate.data.decode import UndecodableError
from striate.data.prepare import prepare, prepare_all
from striate.data.stacking import Stack
from striate.preprocess import FITS, Preprocess
from striate.resizing import resized_together

SIZES = ((50, 40), (40, 50), (50, 40), (24, 24), (200, 90))


class Content:
    """An entry that is already in memory."""

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


@quick
@given(st.lists(files, max_size=12), st.sampled_from(FITS), st.sampled_from([1, 3]), st.sampled_from([2**14, 2**22]))
def test_together_is_one_after_the_other(sources: list[bytes], fit: str, depth: int, room: int) -> None:
    wanted = made(depth, fit)
    pixels = np.full((len(sources), 20, 24, depth), 9, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacking, "_ROOM", room)
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
    monkeypatch.setattr(stacking, "_ROOM", 3 * 50 * 40 * 3)
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
