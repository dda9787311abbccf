"""Colour against Pillow's ImageEnhance, and noise against the normal distribution."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from strategies import quick, seeds

from striate.augmentation import TRANSFORMS
from striate.augmentation.colour import brightness, contrast, noise, saturation

PILLOWS = {
    brightness: ImageEnhance.Brightness,
    contrast: ImageEnhance.Contrast,
    saturation: ImageEnhance.Color,
}


def pixels(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("change", PILLOWS)
@quick
@given(seeds, st.sampled_from([1, 3]), st.lists(st.floats(0, 2), min_size=1, max_size=4))
def test_light_and_colour_are_pillows(change, seed, channels, factors):
    """To two levels: Pillow rounds grey to whole levels first, and cuts where this rounds."""
    images = pixels(seed, len(factors), 6, 5, channels)
    changed = change(images, torch.tensor(factors, dtype=torch.float64))
    for before, after, factor in zip(images.numpy(), changed.numpy(), factors, strict=True):
        picture = Image.fromarray(before[:, :, 0] if channels == 1 else before)
        expected = np.asarray(PILLOWS[change](picture).enhance(factor)).reshape(before.shape)
        np.testing.assert_allclose(after, expected, rtol=0, atol=2)


def test_what_the_factors_mean():
    images = pixels(0, 1, 4, 4, 3)
    nought, double = torch.zeros(1), torch.full((1,), 2.0)
    assert not brightness(images, nought).any()
    assert torch.equal(brightness(images, double).int(), (2 * images.int()).clamp(max=255))
    assert (contrast(images, nought) == contrast(images, nought)[0, 0, 0, 0]).all(), "the mean everywhere"
    grey = saturation(images, nought)
    assert torch.equal(grey[..., :1].expand(-1, -1, -1, 3), grey)


def test_factors_are_drawn_evenly_around_one():
    uniform = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    for name in ("brightness", "contrast", "saturation"):
        factors = TRANSFORMS[name].draw(uniform, 0.4)
        torch.testing.assert_close(factors, torch.linspace(0.6, 1.4, 101, dtype=torch.float64))


def test_noise_is_normal_and_each_pixels_own():
    grey = torch.full((2, 100, 100, 3), 128, dtype=torch.uint8)
    noisy = noise(grey, TRANSFORMS["noise"].draw(torch.tensor([[0.25], [0.75]], dtype=torch.float64), 0.1))
    added = noisy.double() - 128
    assert scipy.stats.kstest((added / 25.5).flatten().numpy(), "norm").statistic < 0.02, "0.1 of 255 levels"
    channels = np.corrcoef(added.reshape(-1, 3).T.numpy())
    assert np.abs(channels - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(added.reshape(2, -1).numpy())[0, 1]) < 0.03, "two images, two patterns"
    again = noise(grey[:1], TRANSFORMS["noise"].draw(torch.tensor([[0.25]], dtype=torch.float64), 0.1))
    assert torch.equal(again[0], noisy[0])
