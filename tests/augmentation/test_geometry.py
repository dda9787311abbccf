"""Each move against NumPy, loops, SciPy or Pillow, the range of what it draws, and which way it goes."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import quick, seeds

from striate.augmentation import TRANSFORMS
from striate.augmentation.geometry import affine, crop, flip, shift

sides = st.integers(1, 11)
channels = st.sampled_from([1, 3])
shapes = st.tuples(st.integers(1, 4), sides, sides, channels)
AFFINE = ["rotate", "zoom", "squeeze", "shear"]


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def draw(name, strength, uniform):
    """Parameters for uniform numbers of shape (N,) or (N, draws)."""
    uniform = torch.as_tensor(uniform, dtype=torch.float64)
    return TRANSFORMS[name].draw(uniform.reshape(len(uniform), TRANSFORMS[name].draws), strength)


@quick
@given(seeds, shapes)
def test_flip_is_numpys(seed, shape):
    images = noise(seed, *shape)
    mirrored = torch.from_numpy(np.random.default_rng(seed).random(shape[0]) < 0.5)
    flipped = flip(images, mirrored)
    for before, after, turned in zip(images.numpy(), flipped.numpy(), mirrored, strict=True):
        assert np.array_equal(after, np.fliplr(before) if turned else before)
    assert torch.equal(flip(flipped, mirrored), images), "twice is nothing"


def slow_shift(image, down, right):
    """Each pixel by itself: the one that was `down` higher and `right` to the left, or black, or its mirror image."""
    height, width, channels = image.shape
    moved = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            row, column = y - down, x - right
            if channels > 1:
                row, column = mirrored_back(row, height), mirrored_back(column, width)
            if 0 <= row < height and 0 <= column < width:
                moved[y, x] = image[row, column]
    return moved


def mirrored_back(place, length):
    return -1 - place if place < 0 else 2 * length - 1 - place if place >= length else place


@quick
@given(seeds, shapes, st.data())
def test_shift_is_a_loop_over_pixels(seed, shape, data):
    images = noise(seed, *shape)
    _, height, width, _ = shape
    moves = [(data.draw(st.integers(-height, height)), data.draw(st.integers(-width, width))) for _ in range(shape[0])]
    shares = torch.tensor([[down / height, right / width] for down, right in moves], dtype=torch.float64)
    for before, after, move in zip(images.numpy(), shift(images, shares).numpy(), moves, strict=True):
        assert np.array_equal(after, slow_shift(before, *move))


def test_shift_goes_by_whole_pixels_and_what_moves_in_is_black_or_a_mirror_image():
    image = torch.arange(1, 13, dtype=torch.uint8).reshape(1, 3, 4, 1)
    offsets = torch.tensor([[0.3, -0.3]])  # 0.9 rows down, 1.2 columns left
    assert shift(image, offsets)[0, :, :, 0].tolist() == [[0, 0, 0, 0], [2, 3, 4, 0], [6, 7, 8, 0]]
    colour = shift(image.expand(-1, -1, -1, 3), offsets)
    assert colour[0, :, :, 2].tolist() == [[2, 3, 4, 4], [2, 3, 4, 4], [6, 7, 8, 8]]


def scipys(image, matrix):
    """`affine` of one image: SciPy counts (row, column) from the first pixel, we (x, y) from the centre."""
    swapped = matrix[::-1, ::-1]
    centre = (np.array(image.shape[:2]) - 1) / 2
    outside = "grid-constant" if image.shape[2] == 1 else "reflect"  # black, or as in a mirror at the edge
    return np.stack(
        [
            scipy.ndimage.affine_transform(
                plane.astype(float), swapped, centre - swapped @ centre, order=1, mode=outside
            )
            for plane in np.moveaxis(image, 2, 0)
        ],
        axis=2,
    )


@pytest.mark.slow
@quick
@given(seeds, shapes, st.lists(st.tuples(st.sampled_from(AFFINE), st.floats(0, 1)), min_size=1, max_size=3))
def test_affine_is_scipys(seed, shape, steps):
    images = noise(seed, *shape)
    strengths = {"rotate": 180, "zoom": 0.5, "squeeze": 0.5, "shear": 0.5}
    uniform = np.random.default_rng(seed).random(shape[0])
    matrices = torch.eye(2, dtype=torch.float64).expand(shape[0], 2, 2)
    for name, share in steps:
        matrices = matrices @ draw(name, strengths[name] * share, uniform)
    resampled = affine(images, matrices)
    assert resampled.dtype == torch.uint8
    assert resampled.shape == images.shape
    for before, after, matrix in zip(images.numpy(), resampled.numpy(), matrices.numpy(), strict=True):
        np.testing.assert_allclose(after, scipys(before, matrix), rtol=0, atol=1)


@pytest.mark.parametrize("side", [8, 9])
def test_a_quarter_turn_is_exact_and_its_sense_is_fixed(side):
    image = noise(0, 1, side, side, 3)
    quarter = affine(image, draw("rotate", 90, [1.0]))  # the largest angle
    assert np.array_equal(quarter[0].numpy(), np.rot90(image[0].numpy(), -1)), "clockwise"
    assert torch.equal(affine(image, draw("rotate", 180, [0.0])), image.flip(1, 2))


def test_each_goes_the_way_its_name_says():
    """A white square of 20 pixels in the middle of black: what happens to its width and height."""
    image = torch.zeros(1, 80, 80, 1, dtype=torch.uint8)
    image[:, 30:50, 30:50] = 255

    def size(name, uniform):
        seen = affine(image, draw(name, 1, [uniform]))[0, :, :, 0] > 127
        return [int(seen.any(0).sum()), int(seen.any(1).sum())]

    assert size("zoom", 1.0) == pytest.approx([40, 40], abs=1)
    assert size("zoom", 0.0) == pytest.approx([10, 10], abs=1)
    assert size("squeeze", 1.0) == pytest.approx([10, 40], abs=1), "narrower and taller"
    assert size("squeeze", 0.0) == pytest.approx([40, 10], abs=1)
    assert size("shear", 1.0) == pytest.approx([40, 20], abs=1)
    assert size("shear", 0.0) == pytest.approx([40, 20], abs=1)


@quick
@given(seeds, shapes, st.integers(0, 7), st.integers(0, 7))
def test_crop_is_pillows(seed, shape, down, right):
    """Pillow's bilinear enlargement of a box, which it gives in pixels."""
    images = noise(seed, *shape)
    _, height, width, _ = shape
    left, top, part = right / 16, down / 16, 9 / 16
    cut = crop(images, torch.tensor([[left, top, part, part]], dtype=torch.float64).expand(shape[0], 4))
    box = (left * width, top * height, (left + part) * width, (top + part) * height)
    for before, after in zip(images.numpy(), cut.numpy(), strict=True):
        for plane in range(shape[3]):
            picture = Image.fromarray(np.ascontiguousarray(before[:, :, plane]))
            expected = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))
            np.testing.assert_allclose(after[:, :, plane], expected, rtol=0, atol=1)


def test_each_image_has_its_own_box():
    images = noise(0, 2, 8, 8, 1)
    cut = crop(images, torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.5, 0.0, 0.5, 0.5]]))
    assert torch.equal(cut[0], images[0])
    assert torch.equal(cut[1], crop(images[1:], torch.tensor([[0.5, 0.0, 0.5, 0.5]]))[0])
    assert cut[1, 0, -1] == images[1, 0, -1], "the upper right corner stays in its corner"


unit = st.floats(0, 1, exclude_max=True)


@quick
@given(unit, st.floats(0.01, 3))
def test_draws_stay_in_their_range(u, strength):
    offsets = draw("shift", min(strength, 1), [[u, 1 - u]])
    assert (offsets.abs() <= min(strength, 1)).all()
    (((a, b), (c, d)),) = draw("rotate", 50 * strength, [u]).tolist()
    assert math.hypot(a, b) == pytest.approx(1)
    assert (a, b) == pytest.approx((d, -c))
    assert abs(math.degrees(math.atan2(b, a))) <= 50 * strength + 1e-9
    (((a, b), (c, d)),) = draw("zoom", strength, [u]).tolist()
    assert b == c == 0
    assert a == d
    assert 1 / (1 + strength) - 1e-12 <= a <= 1 + strength + 1e-12
    (((a, b), (c, d)),) = draw("squeeze", strength, [u]).tolist()
    assert b == c == 0
    assert a * d == pytest.approx(1), "the area stays"
    assert 1 / (1 + strength) - 1e-12 <= a <= 1 + strength + 1e-12
    (((a, b), (c, d)),) = draw("shear", strength, [u]).tolist()
    assert (a, c, d) == (1, 0, 1)
    assert abs(b) <= strength


def test_draws_fill_their_range_evenly():
    uniform = (np.arange(1000) + 0.5) / 1000
    assert draw("flip", 0.3, uniform).sum() == 300
    assert not draw("flip", 0, uniform).any()
    assert draw("flip", 1, uniform).all()
    angles = torch.atan2(draw("rotate", 40, uniform)[:, 0, 1], draw("rotate", 40, uniform)[:, 0, 0]).rad2deg()
    np.testing.assert_allclose(angles.numpy(), np.linspace(-40, 40, 2001)[1::2], atol=1e-9)
    larger = (draw("zoom", 0.5, uniform)[:, 0, 0] < 1).sum()
    assert larger == 500, "as often larger as smaller"


@quick
@given(unit, unit, unit, unit, st.floats(0, 0.99))
def test_crops_lie_in_the_image(a, b, c, d, strength):
    for name, numbers in (("crop", [[a, b]]), ("resized-crop", [[a, b, c, d]])):
        ((left, top, width, height),) = draw(name, strength, numbers).tolist()
        assert min(left, top) >= 0
        assert max(left + width, top + height) <= 1 + 1e-12
        if name == "crop":
            assert width == height == pytest.approx(1 - strength)
        else:
            assert 1 - strength - 1e-9 <= width * height <= 1 + 1e-9
            assert 3 / 4 - 1e-9 <= width / height <= 4 / 3 + 1e-9


def test_resized_crops_are_of_all_areas_proportions_and_places():
    uniform = np.random.default_rng(0).random((4000, 4))
    left, top, width, height = draw("resized-crop", 0.92, uniform).unbind(dim=1)
    area = (width * height).numpy()
    np.testing.assert_allclose(np.quantile(area, [0, 0.5, 1]), [0.08, 0.54, 1], atol=0.02)
    small = torch.from_numpy(area < 0.5)
    proportion = (width / height).log()[small].numpy()
    np.testing.assert_allclose(np.quantile(proportion, [0, 0.5, 1]), np.log([3 / 4, 1, 4 / 3]), atol=0.02)
    for start, side in ((left, width), (top, height)):
        room = (1 - side)[small]
        np.testing.assert_allclose(np.quantile(start[small] / room, [0, 0.5, 1]), [0, 0.5, 1], atol=0.03)


def test_defaults_lie_within_bounds():
    for transform in TRANSFORMS.values():
        assert transform.bounds[0] <= transform.default <= transform.bounds[1]
        assert transform.unit
