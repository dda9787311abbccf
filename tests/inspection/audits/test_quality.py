"""Blur, emptiness, size and outliers, planted among ordinary images."""

import numpy as np
import pytest
import torch
from PIL import ImageFilter

from benchmarks.reduced_decode import picture
from striate.inspection.audits import quality

PHOTOGRAPHS = [picture(seed, 160, 120) for seed in range(24)]


def measured(images: list) -> quality.Quality:
    return quality.measured(torch.from_numpy(np.stack([np.asarray(image) for image in images])))


def test_a_blurred_photograph_is_found_among_sharp_ones():
    blurred = [PHOTOGRAPHS[5].filter(ImageFilter.GaussianBlur(sigma)) for sigma in (4, 6)]
    blur = measured([*PHOTOGRAPHS, *blurred]).blur
    assert sorted(quality.blurred(blur).tolist()) == [24, 25]
    assert len(quality.blurred(blur[:24])) == 0
    assert blur.min() >= 0
    assert blur.max() <= 1


def test_blur_along_one_direction_counts_and_contrast_does_not():
    sharp = np.asarray(PHOTOGRAPHS[0].convert("L"), dtype=np.float64)
    rows = np.stack([np.convolve(row, np.full(15, 1 / 15), "same") for row in sharp])
    images = [values.round().astype(np.uint8)[..., None] for values in (sharp, rows, rows.T.T / 2, sharp / 2)]
    blur = measured(images).blur
    assert blur[1] > blur[0] + 0.2
    assert blur[2] == pytest.approx(blur[1], abs=0.1)
    assert blur[3] == pytest.approx(blur[0], abs=0.06)
    turned = measured([image.transpose(1, 0, 2).copy() for image in images]).blur
    assert turned == pytest.approx(blur, abs=1e-5)


def test_nearly_empty_images_are_found():
    empty = np.full((120, 160, 3), 90, dtype=np.uint8)
    speck = empty.copy()
    speck[:10, :10] = 255  # half a hundredth
    spot = empty.copy()
    spot[:30, :30] = 255
    filled = measured([*PHOTOGRAPHS, empty, speck, spot]).filled
    assert quality.nearly_empty(filled).tolist() == [24, 25]
    assert filled[26] == pytest.approx(900 / (120 * 160))


def test_small_images_are_found():
    assert quality.small(np.array([100, 90, 110, 11, 9, 1, 100])).tolist() == [5, 4]
    assert quality.small(np.array([])).tolist() == []


def test_images_too_small_to_be_blurred_have_no_blur():
    assert measured([np.zeros((3, 3, 1), dtype=np.uint8)]).blur.tolist() == [0]


def test_outliers_are_far_from_everything():
    random = np.random.default_rng(0)
    features = np.concatenate(
        [np.eye(8)[0] + 0.1 * random.random((30, 8)), np.eye(8)[1] + 0.1 * random.random((30, 8))]
    )
    far = -np.ones((1, 8))
    found, distances = quality.outliers(np.concatenate([features, far]).astype(np.float32))
    assert found.tolist() == [60]
    assert distances.shape == (61,)
    assert quality.outliers(features.astype(np.float32))[0].tolist() == []
    assert quality.outliers(np.concatenate([features[:15], far]).astype(np.float32))[0].tolist() == []


def test_distances_are_those_of_all_cosines():
    features = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = [sorted(1 - float(one @ other) for other in units)[5] for one in units]
    assert quality.neighbour_distances(features) == pytest.approx(expected, abs=1e-5)
