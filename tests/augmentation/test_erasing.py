"""Erased boxes against a loop over pixels."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, seeds

from striate.augmentation import TRANSFORMS
from striate.augmentation.erasing import erase, inside


def rounded(value):
    """To the even number from halfway, as NumPy and PyTorch do."""
    return int(np.rint(value))


@quick
@given(seeds, st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])))
def test_erase_is_a_loop_over_pixels(seed, shape):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    boxes = rng.random((shape[0], 3))
    erased = erase(torch.from_numpy(images), torch.from_numpy(boxes)).numpy()
    _, height, width, _ = shape
    for before, after, (down, right, side) in zip(images, erased, boxes, strict=True):
        expected = before.copy()
        for y in range(height):
            for x in range(width):
                rows = rounded((down - side / 2) * height) <= y < rounded((down + side / 2) * height)
                columns = rounded((right - side / 2) * width) <= x < rounded((right + side / 2) * width)
                if rows and columns:
                    expected[y, x] = np.floor(before.mean(axis=(0, 1)) + 0.5)
        assert np.array_equal(after, expected)


def test_the_box_has_the_size_it_says_and_its_centre_is_anywhere():
    uniform = torch.from_numpy(np.random.default_rng(0).random((2000, 2)))
    mask = inside(TRANSFORMS["erase"].draw(uniform, 0.25), 40, 80)[..., 0]
    rows, columns = mask.any(dim=2).sum(dim=1), mask.any(dim=1).sum(dim=1)
    assert rows.max() == 10
    assert columns.max() == 20
    assert 0.7 < (rows == 10).float().mean() < 0.8, "boxes that stick out are cut, not moved inside"
    assert mask.float().mean(dim=0).min() > 0.01, "no pixel is spared"
