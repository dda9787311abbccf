"""Changes of images: each on pictures whose answer is known, and what holds for all of them."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from striate.inspection.studies.changes import CHANGES

every = pytest.mark.parametrize("name", CHANGES)


def blob(side: int = 17) -> Tensor:
    """A smooth, lopsided spot: uint8 (1, side, side, 1)."""
    y, x = np.mgrid[:side, :side] - side // 2
    values = 250 * np.exp(-((x - 2) ** 2 / 12 + (y + 1) ** 2 / 5))
    return torch.from_numpy(values.round().astype(np.uint8))[None, :, :, None]


@every
def test_the_unchanged_strength_changes_nothing(name: str):
    change = CHANGES[name]
    assert change.unchanged in change.strengths
    assert list(change.strengths) == sorted(change.strengths)
    assert torch.equal(change(blob(), change.unchanged), blob())


@every
def test_each_image_has_its_own_strength(name: str):
    change = CHANGES[name]
    ends = change(blob().repeat(2, 1, 1, 1), torch.tensor([change.strengths[0], change.strengths[-1]]))
    assert ends.dtype == torch.uint8
    assert torch.equal(ends[:1], change(blob(), change.strengths[0]))
    assert torch.equal(ends[1:], change(blob(), change.strengths[-1]))
    assert not torch.equal(ends[0], ends[1])


@every
def test_augmentation_is_drawn_for_each_image_and_epoch(name: str):
    change, images = CHANGES[name], blob().repeat(3, 1, 1, 1)
    one = change.augment(images, seed=1, epoch=0, index=np.array([4, 5, 6]))
    assert torch.equal(change.augment(images[:2], seed=1, epoch=0, index=np.array([5, 6])), one[1:])
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(change.augment(images, seed=1, epoch=1, index=np.array([4, 5, 6])), one)


def test_rotation_is_to_the_left():
    turned = CHANGES["rotation"](blob(), 90)[0, :, :, 0]
    assert torch.equal(turned, torch.rot90(blob()[0, :, :, 0]))
    by_scipy = ndimage.rotate(
        blob()[0, :, :, 0].numpy().astype(float), 30, reshape=False, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(CHANGES["rotation"](blob(), 30)[0, :, :, 0].numpy(), by_scipy, atol=1)


def test_shift_is_to_the_right_and_black_moves_in():
    image = torch.zeros(1, 20, 20, 1, dtype=torch.uint8)
    image[0, 3, 18] = image[0, 5, 4] = 200
    moved = CHANGES["shift"](image, 0.15)
    assert moved.nonzero()[:, 1:3].tolist() == [[5, 7]]


def test_scale_enlarges_about_the_middle():
    image = torch.zeros(1, 16, 16, 1, dtype=torch.uint8)
    image[0, 6:10, 6:10] = 200
    assert int((CHANGES["scale"](image, 2.0) == 200).sum()) == 36  # 8×8, whose edge is interpolated
    assert int(CHANGES["scale"](image, 0.5).count_nonzero()) == 4


def test_thickness_is_grey_morphology():
    image = blob()[0, :, :, 0].numpy()
    once = ndimage.grey_dilation(image, (3, 3), mode="constant", cval=0)
    for strength, expected in (
        (1, once),
        (2, ndimage.grey_dilation(once, (3, 3), mode="constant", cval=0)),
        (0.5, (image.astype(float) + once) / 2),
        (-1, ndimage.grey_erosion(image, (3, 3), mode="constant", cval=0)),
    ):
        np.testing.assert_allclose(CHANGES["thickness"](blob(), strength)[0, :, :, 0].numpy(), expected, atol=0.5)


def test_brightness_adds_and_stays_in_range():
    image = torch.tensor([0, 100, 250], dtype=torch.uint8).reshape(1, 1, 3, 1)
    assert CHANGES["brightness"](image, 0.2).flatten().tolist() == [51, 151, 255]
    assert CHANGES["brightness"](image, -0.6).flatten().tolist() == [0, 0, 97]
