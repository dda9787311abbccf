"""Preprocessing: sizes, fits and colours on images one can check by eye, normalisation against NumPy's formula."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import quick, seeds

from striate import resizing
from striate.errors import ArgumentError, ShapeError
from striate.preprocess import FITS, Preprocess, power_sums

fits = pytest.mark.parametrize("fit", FITS)
sides = st.integers(1, 12)
channels = st.sampled_from([1, 3])


def grey(rows):
    return np.array(rows, dtype=np.uint8)[:, :, None]


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def made(height, width, depth, fit="letterbox"):
    return Preprocess(height, width, depth, fit, (0.0,) * depth, (1.0,) * depth)


def test_letterbox_pads_the_middle_with_black():
    wide = np.full((2, 4, 1), 200, np.uint8)
    assert Preprocess(4, 4, 1, "letterbox").conform(wide)[:, :, 0].tolist() == [[0] * 4, [200] * 4, [200] * 4, [0] * 4]
    tall = np.full((4, 2, 1), 200, np.uint8)
    assert Preprocess(4, 4, 1, "letterbox").conform(tall)[:, :, 0].tolist() == [[0, 200, 200, 0]] * 4
    assert Preprocess(2, 5, 1, "letterbox").conform(tall[:2])[0, :, 0].tolist() == [0, 200, 200, 0, 0]


def test_crop_cuts_the_longer_side_on_both_ends():
    wide = grey([[10, 20, 30, 40]] * 2)
    assert Preprocess(2, 2, 1, "crop").conform(wide)[:, :, 0].tolist() == [[20, 30]] * 2
    tall = grey([[10], [20], [30], [40], [50]])
    assert Preprocess(3, 1, 1, "crop").conform(tall)[:, 0, 0].tolist() == [20, 30, 40]


def test_stretch_keeps_the_whole_image_and_no_proportions():
    quarters = grey([[0] * 8 + [80] * 8] * 2 + [[160] * 8 + [240] * 8] * 2)  # 4×16
    stretched = Preprocess(16, 4, 1, "stretch").conform(quarters)[:, :, 0]
    assert stretched[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 80, 160, 240]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 61), (20, 31)])
def test_a_crop_is_pillows_resized_shorter_side_and_the_middle_of_it(interpolation, height, width):
    image = noise(5, height, width, 3)
    made = Preprocess.resizing((28, 28), 3, "crop", 0.875, interpolation).conform(image)
    side, filter = 32, {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    size = (round(width * side / min(height, width)), round(height * side / min(height, width)))
    whole = np.asarray(Image.fromarray(image).resize(size, filter)).astype(int)
    top, left = (whole.shape[0] - 28 + 1) // 2, (whole.shape[1] - 28 + 1) // 2
    assert abs(whole[top : top + 28, left : left + 28] - made).max() <= 2


def test_large_pictures_are_resized_by_the_same_filter(monkeypatch):
    image = noise(6, 40, 50, 3)
    preprocess = Preprocess.resizing((16, 16), 3, "crop", 0.9, "bicubic")
    monkeypatch.setattr(resizing, "_LARGE", 100)
    large = preprocess.conform_picture(Image.fromarray(image)).astype(int)
    assert abs(large - preprocess.conform(image)).max() <= 2
    assert abs(large - Preprocess.resizing((16, 16), 3, "crop", 0.9).conform(image)).max() > 2


def test_what_was_kept_before_crops_existed_is_read():
    kept = {"height": 4, "width": 5, "channels": 1, "fit": "stretch", "mean": [0.5], "std": [0.25]}
    assert Preprocess.from_dict(kept) == Preprocess(4, 5, 1, "stretch", (0.5,), (0.25,), 1.0, "bilinear")


@fits
def test_shrinking_is_anti_aliased(fit):
    board = grey(np.indices((64, 64)).sum(0) % 2 * 255)
    small = Preprocess(7, 7, 1, fit).conform(board)
    assert 120 < small.min() <= small.max() < 136


def test_colour_to_grey_is_luma_and_back_is_three_times_the_same():
    colours = noise(0, 5, 4, 3)
    luma = colours @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    converted = Preprocess(5, 4, 1).conform(colours)
    assert converted.shape == (5, 4, 1)
    np.testing.assert_allclose(converted[:, :, 0], luma, atol=1)
    tripled = made(5, 4, 3).conform(converted)
    assert np.array_equal(tripled, np.repeat(converted, 3, axis=2))


@quick
@given(seeds, st.tuples(sides, sides, channels))
def test_an_image_that_fits_is_not_touched(seed, shape):
    image = noise(seed, *shape)
    for fit in FITS:
        assert made(*shape, fit).conform(image) is image


@quick
@given(st.tuples(sides, sides, channels), st.tuples(sides, sides, channels), st.integers(1, 255))
def test_any_image_gets_the_size_and_one_colour_stays_one_colour(shape, target, level):
    flat = np.full(shape, level, np.uint8)
    for fit in ("crop", "stretch"):
        conformed = made(*target, fit).conform(flat)
        assert conformed.dtype == np.uint8
        assert conformed.shape == target
        assert (conformed == level).all()
    boxed = made(*target).conform(flat)
    assert boxed.shape == target
    assert set(np.unique(boxed)) <= {0, level}
    inside = (boxed[:, :, 0] == level).nonzero()
    rows, columns = (axis.max() - axis.min() + 1 for axis in inside)
    assert rows == target[0] or columns == target[1], "one side is used in full"
    assert len(inside[0]) == rows * columns, "what is kept is a rectangle"
    for axis, side, kept in ((inside[0], target[0], rows), (inside[1], target[1], columns)):
        assert axis.min() == (side - kept) // 2, "in the middle"


@fits
@pytest.mark.parametrize(("shape", "depth"), [((7, 5, 3), 1), ((7, 5, 3), 3), ((7, 5, 1), 1), ((2, 3, 1), 3)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_stack_is_each_image_by_itself(fit, shape, depth, count):
    stack = noise(1, count, *shape)
    preprocess = made(4, 6, depth, fit)
    expected = np.stack([preprocess.conform(image) for image in stack])
    conformed = preprocess.conform_all(torch.from_numpy(stack))
    assert conformed.dtype == torch.uint8
    assert np.array_equal(conformed.numpy(), expected)
    assert preprocess.conform_all(conformed) is conformed
    assert preprocess.conform_all(torch.from_numpy(stack[:0])).shape == (0, 4, 6, depth)


def test_large_stacks_are_conformed_in_parts(monkeypatch):
    stack, parts = torch.from_numpy(noise(1, 7, 9, 30, 3)), []
    expected = made(6, 6, 3, "crop").conform_all(stack)
    really = Preprocess.conform_stack

    def noted(preprocess, images):
        parts.append(len(images))
        return really(preprocess, images)

    monkeypatch.setattr(Preprocess, "conform_stack", noted)
    monkeypatch.setattr("striate.preprocess._TOGETHER", 3 * 9 * 30 * 3)
    assert torch.equal(made(6, 6, 3, "crop").conform_all(stack), expected)
    assert parts == [3, 3, 1]


@pytest.mark.parametrize("stack", [np.zeros((2, 8, 8, 1), np.float32), np.zeros((2, 8, 0, 1), np.uint8)])
def test_a_stack_of_what_is_no_image_is_refused_as_one_is(stack):
    with pytest.raises((ArgumentError, ShapeError), match="an image of"):
        Preprocess(4, 4, 1).conform_stack(stack)


@quick
@given(seeds, st.integers(0, 3), sides, sides, channels)
def test_normalisation_is_the_formula(seed, count, height, width, depth):
    rng = np.random.default_rng(seed)
    images = noise(seed, count, height, width, depth)
    mean, std = rng.uniform(0, 1, depth), rng.uniform(0.05, 1, depth)
    preprocess = Preprocess(height, width, depth, mean=tuple(mean), std=tuple(std))
    inputs = preprocess.normalize(torch.from_numpy(images))
    expected = ((images / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert inputs.dtype == torch.float32
    assert inputs.shape == expected.shape
    np.testing.assert_allclose(inputs.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_many_large_images_are_normalised_as_each_is():
    images = torch.from_numpy(noise(0, 5, 200, 210, 3))
    preprocess = Preprocess(200, 210, 3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    together = preprocess.normalize(images)
    assert torch.equal(together, torch.cat([preprocess.normalize(image[None]) for image in images]))
    out = torch.empty(images.shape)
    assert torch.equal(preprocess.normalize(images, out), together)
    assert torch.equal(out.permute(0, 3, 1, 2), together)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalised_images_are_channels_last_and_leave_the_pixels_as_they_were(dtype):
    images = torch.from_numpy(noise(0, 2, 5, 4, 3)).to(dtype)
    before = images.clone()
    inputs = Preprocess(5, 4, 3, mean=(0.5,) * 3, std=(0.5,) * 3).normalize(images)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert inputs.permute(0, 2, 3, 1).is_contiguous()
    assert inputs.untyped_storage().nbytes() == 4 * images.numel()
    assert torch.equal(images, before)


@quick
@given(seeds, channels, sides)
def test_statistics_are_numpys(seed, depth, side):
    images = noise(seed, 3, side, 4, depth)
    measured = made(side, 4, depth, "crop").with_statistics(torch.from_numpy(images))
    pixels = images.reshape(-1, depth) / 255
    np.testing.assert_allclose(measured.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(measured.std, pixels.std(0), rtol=1e-9)
    assert (measured.height, measured.width, measured.channels, measured.fit) == (side, 4, depth, "crop")
    inputs = measured.normalize(torch.from_numpy(images)).double()
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(depth).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 300, 70, 3), (70_000, 2, 1, 3), (600, 2, 2, 1), (0, 2, 2, 3)])
def test_power_sums_are_exact_where_32_bits_would_overflow(shape):
    images = noise(0, *shape) // 2 + 128
    levels = images.reshape(-1, shape[3]).astype(np.int64)
    expected = [(levels**power).sum(axis=0) for power in range(3)]
    assert np.array_equal(power_sums(images), expected)
    assert np.array_equal(power_sums(np.full_like(images, 255))[2], expected[0] * 255**2)


def test_one_flat_colour_keeps_the_division_finite():
    measured = Preprocess(2, 2, 1).with_statistics(torch.full((3, 2, 2, 1), 7, dtype=torch.uint8))
    assert measured.std == (1 / 255,)
    assert measured.normalize(torch.full((1, 2, 2, 1), 7, dtype=torch.uint8)).abs().max() < 1e-4


@fits
def test_json_brings_it_back(fit):
    preprocess = Preprocess(5, 4, 3, fit, (0.1, 0.2, 1 / 3), (0.3, 0.2, 1 / 7))
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess
    cropped = Preprocess.resizing((5, 4), 3, "crop", 0.875, "bicubic")
    assert Preprocess.from_dict(json.loads(json.dumps(cropped.to_dict()))) == cropped


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((0, 5, 1), ShapeError, "image size 0×5: both sides must be at least 1 pixel"),
        ((5, -1, 1), ShapeError, "image size 5×-1"),
        ((5, 5, 2), ShapeError, r"channels=2: use 1 \(grey\) or 3 \(colour\)"),
        ((5, 5, 1, "squash"), ArgumentError, "fit='squash': use one of crop, letterbox, stretch"),
        ((5, 5, 3), ArgumentError, "mean and std need 3 values each"),
        ((5, 5, 1, "crop", (0.5,), (0.0,)), ArgumentError, "std must be above 0"),
        ((5, 5, 1, "crop", (0.5,), (1.0,), 0.0), ArgumentError, "crop=0.0: a share of the shorter side"),
        ((5, 5, 1, "stretch", (0.5,), (1.0,), 0.9), ArgumentError, "a share is kept by fit='crop' alone"),
        ((5, 5, 1, "crop", (0.5,), (1.0,), 1, "box"), ArgumentError, "'box': use one of bilinear, bicubic"),
    ],
)
def test_what_can_not_be_is_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        Preprocess(*arguments)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 4), (0, 4, 1), (1, 4, 4, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ShapeError, match=r"expected \(height, width, 1 or 3\)"):
        Preprocess(4, 4, 1).conform(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint16, bool])
def test_images_that_are_not_0_to_255_are_refused(kind):
    with pytest.raises(ArgumentError, match="expected uint8"):
        Preprocess(4, 4, 1).conform(np.zeros((8, 8, 1), kind))
