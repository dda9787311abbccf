"""Three protocols of translation, against NumPy, and the draws of where to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference.consistency import shifted
from strategies import quick, seeds

from striate.inspection.invariances.perturbations import PROTOCOLS, distances, offsets, published


@quick
@given(
    seeds,
    st.sampled_from(sorted(PROTOCOLS)),
    st.integers(1, 6),
    st.integers(4, 9),
    st.integers(4, 9),
    st.sampled_from([1, 3]),
)
def test_agrees_with_the_definition(seed, protocol, greatest, height, width, channels):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (3, height, width, channels)).astype(np.uint8)
    by = random.integers(0, greatest + 1, (3, 2))
    move, _ = PROTOCOLS[protocol]
    moved = move(torch.from_numpy(images), torch.from_numpy(by), greatest).numpy()
    assert moved.shape == images.shape
    assert moved.dtype == np.uint8
    for image, (down, right), got in zip(images, by, moved, strict=True):
        expected = shifted(image, int(down), int(right), protocol, greatest)
        # Interpolation in single precision may round a level up that double precision rounds down.
        assert np.abs(got.astype(int) - expected.astype(int)).max() <= (1 if protocol == "crop" else 0)


def test_the_crop_of_imagenet_is_zhang_s():
    """224 of 256 pixels, at offsets 0 … 31."""
    assert published(224) == 31
    assert 31 in distances(224)
    image = torch.arange(256, dtype=torch.uint8).repeat(256, 1)[None, :, :224, None][:, :224]
    by = torch.tensor([[31, 31]])
    crop, _ = PROTOCOLS["crop"]
    assert crop(image, by, 31).shape == (1, 224, 224, 1)


def test_strengths_grow_with_the_image_and_hold_the_published_one():
    assert distances(28) == [1, 3, 5, 7]
    assert distances(8) == [1, 2]
    assert all(published(side) in distances(side) for side in range(1, 400))


def test_moves_are_drawn_evenly_and_belong_to_the_image():
    one, other = offsets(0, 3, np.arange(4000))
    for moves in (one, other):
        counts = torch.stack([moves[:, 0] * 4 + moves[:, 1]]).flatten().bincount(minlength=16)
        assert moves.min() == 0
        assert moves.max() == 3
        assert ((counts - 250).abs() < 5 * 250**0.5).all()
    assert float((one == other).all(1).double().mean()) == pytest.approx(1 / 16, abs=0.02), "independent of each other"
    later, _ = offsets(0, 3, np.arange(100, 200))
    assert torch.equal(later, one[100:200])
    assert not torch.equal(offsets(1, 3, np.arange(100))[0], one[:100])
