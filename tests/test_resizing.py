"""Resizing by PyTorch against Pillow's own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from striate import resizing
from striate.resizing import picture_of, pixels_of, resized, resized_together

sides = st.integers(1, 90)
NEAR = 2  # of 255: in noise a few sizes of a thousand are that far from Pillow's, the others one at most


def noise(height: int, width: int, mode: str) -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Image.fromarray(np.random.default_rng(height * width).integers(0, 256, shape, dtype=np.uint8))


def by_pillow(picture: Image.Image, width: int, height: int) -> np.ndarray:
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, -1)


@given(sides, sides, sides, sides, st.sampled_from(["L", "RGB"]))
def test_pixel_values_are_pillows_or_near(height: int, width: int, high: int, wide: int, mode: str) -> None:
    picture = noise(height, width, mode)
    found, expected = resized(picture, wide, high), by_pillow(picture, wide, high)
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= NEAR


@given(sides, sides, sides, sides, st.sampled_from(["L", "RGB"]))
def test_pixels_are_resized_as_pictures_are(height: int, width: int, high: int, wide: int, mode: str) -> None:
    picture = noise(height, width, mode)
    assert np.abs(resized(pixels_of(picture), wide, high).astype(int) - by_pillow(picture, wide, high)).max() <= NEAR
    assert np.array_equal(picture_of(pixels_of(picture)), picture)


@given(st.integers(1, 5), sides, sides, sides, sides, st.sampled_from([1, 3]))
def test_together_is_each_by_itself(count: int, height: int, width: int, high: int, wide: int, channels: int) -> None:
    shape = (count, height, width, channels)
    pictures = np.random.default_rng(height * width).integers(0, 256, shape, dtype=np.uint8)
    found = resized_together(pictures, wide, high)
    assert np.array_equal(found, [resized(picture, wide, high) for picture in pictures])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_arrays_that_pytorch_can_not_read_as_they_are(mode: str) -> None:
    pixels = pixels_of(noise(30, 40, mode))
    expected = resized(pixels[::-1].copy(), 20, 10)
    assert np.array_equal(resized(pixels[::-1], 20, 10), expected)
    turned = pixels[::-1].copy()
    turned.setflags(write=False)
    assert np.array_equal(resized(turned, 20, 10), expected)


@pytest.mark.parametrize("name", ["a.bmp", "a.pgm", "a.png"])
def test_grey_that_pillow_maps_from_a_file(name: str, tmp_path: Path) -> None:
    noise(31, 45, "L").save(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert np.abs(resized(picture, 20, 10).astype(int) - by_pillow(picture, 20, 10)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_large_pictures_are_left_to_pillow(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(80, 90, mode)
    assert not np.array_equal(resized(picture, 37, 41), by_pillow(picture, 37, 41))  # by one level, here and there
    small = resized(picture, 37, 41)
    monkeypatch.setattr(resizing, "_LARGE", 80 * 90 - 1)
    assert np.array_equal(resized(picture, 37, 41), by_pillow(picture, 37, 41))
    assert np.array_equal(resized(pixels_of(picture), 37, 41), small), "there is no second copy of an array"
