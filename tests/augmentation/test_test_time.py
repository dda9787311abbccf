"""Views for test time: what they are, and what they weigh."""

import numpy as np
import pytest
import torch
from PIL import Image

from striate.augmentation import VIEWS, views
from striate.errors import ArgumentError


def pixels(*shape):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def listed(text, images):
    return list(views(text)(images))


@pytest.mark.parametrize("text", [*VIEWS, "flip,shifts", " shifts , ten-crop"])
@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (2, 20, 33, 3)])
def test_views_are_images_of_the_same_kind_and_their_weights_one_together(text, shape):
    images = pixels(*shape)
    before = images.clone()
    seen = listed(text, images)
    assert sum(weight for weight, _ in seen) == pytest.approx(1)
    assert all(weight > 0 and view.dtype == torch.uint8 and view.shape == shape for weight, view in seen)
    assert torch.equal(images, before)


def test_none_is_the_images_and_flip_their_mirror_images_too():
    images = pixels(2, 4, 5, 3)
    ((weight, view),) = listed("none", images)
    assert weight == 1
    assert torch.equal(view, images)
    (left, one), (right, other) = listed("flip", images)
    assert (left, right) == (0.5, 0.5)
    assert torch.equal(one, images)
    assert np.array_equal(other.numpy(), images.numpy()[:, :, ::-1])


@pytest.mark.parametrize(("side", "step"), [(8, 1), (28, 1), (47, 1), (48, 2), (224, 7)])
def test_shifts_go_along_the_diagonal(side, step):
    images = pixels(1, side, side, 1)
    weights, (still, up, down) = zip(*listed("shifts", images), strict=True)
    assert weights == (0.5, 0.25, 0.25)
    assert torch.equal(still, images)
    assert torch.equal(up[:, :-step, :-step], images[:, step:, step:])
    assert torch.equal(down[:, step:, step:], images[:, :-step, :-step])
    assert not down[:, :step].any()


def test_flips_and_shifts_together_are_the_six_of_airbench():
    assert sorted(weight for weight, _ in listed("flip,shifts", pixels(1, 28, 28, 1))) == [0.125] * 4 + [0.25] * 2


def test_ten_crops_are_the_corners_the_centre_and_their_mirror_images():
    """Against Pillow: the image at 256/224 of its size, then the windows that the paper cuts out of it."""
    y, x = np.mgrid[:224, :224] / 224
    smooth = np.stack([127 + 120 * np.sin(5 * x), 255 * y, 127 + 120 * np.cos(4 * x * y)], axis=-1).astype(np.uint8)
    seen = listed("ten-crop", torch.from_numpy(smooth)[None])
    assert [weight for weight, _ in seen] == [0.1] * 10
    large = np.asarray(Image.fromarray(smooth).resize((256, 256), Image.Resampling.BILINEAR)).astype(int)
    corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    for place, (top, left) in enumerate(corners):
        window = large[top : top + 224, left : left + 224]
        assert np.abs(seen[2 * place][1][0].numpy() - window).max() <= 2
        assert torch.equal(seen[2 * place + 1][1], seen[2 * place][1].flip(2))


@pytest.mark.parametrize("text", ["mirror", "", "flip,", "flip,tencrop"])
def test_an_unknown_name_is_refused_with_those_there_are(text):
    with pytest.raises(ArgumentError, match="Known: flip, none, shifts, ten-crop"):
        views(text)
