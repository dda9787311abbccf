"""Colour against Pillow's ImageEnhance, and noise against the normal distribution."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from strategies import quick, seeds

from striate.augmentation import TRANSFORMS, parse
from striate.augmentation.colour import (
    IMAGENET,
    brightness,
    components,
    contrast,
    draw_lighting,
    lighting,
    noise,
    saturation,
)
from striate.errors import ArgumentError, ShapeError

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


def coloured(seed, count, side=10, channels=3):
    """Images whose channels vary together, as colours do."""
    rng = np.random.default_rng(seed)
    common = rng.normal(128, 40, (count, side, side, 1))
    own = rng.normal(0, 10, (count, side, side, channels)) * np.linspace(1, 2, channels)
    return torch.from_numpy((common + own).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_components_are_numpys(channels):
    images = coloured(0, 60, channels=channels)
    covariance = np.atleast_2d(np.cov(images.numpy().reshape(-1, channels).T / 255, bias=True))
    parts = components(images).numpy()
    lengths = np.linalg.norm(parts, axis=0)
    np.testing.assert_allclose(lengths, np.sort(np.linalg.eigvalsh(covariance))[::-1], atol=1e-9)
    directions = parts / lengths
    np.testing.assert_allclose(directions.T @ directions, np.eye(channels), atol=1e-9)
    np.testing.assert_allclose(directions @ np.diag(lengths) @ directions.T, covariance, atol=1e-9)
    largest = np.take_along_axis(parts, np.abs(parts).argmax(axis=0, keepdims=True), axis=0)
    assert (largest > 0).all(), "the same sign on every machine"


def test_few_images_are_read_and_spread_evenly():
    class Watched:
        """Images on disk: asking for some is noted, asking for all would fail."""

        shape = (10_000, 40, 200, 3)

        def __init__(self):
            self.asked = []

        def __len__(self):
            return self.shape[0]

        def __getitem__(self, index):
            self.asked += index.tolist()
            return coloured(0, 1).repeat(len(index), 4, 20, 1)

    images = Watched()
    parts = components(images)
    assert len(images.asked) == len(set(images.asked)) == 2000
    assert min(images.asked) == 0
    assert max(images.asked) == 9999
    assert max(np.diff(images.asked)) <= 6
    torch.testing.assert_close(parts, components(coloured(0, 1).repeat(1, 4, 20, 1)), rtol=0.2, atol=1e-3)


def test_a_flat_training_set_has_no_light_to_vary():
    images = torch.full((3, 4, 4, 3), 7, dtype=torch.uint8)
    assert components(images).abs().max() < 1e-9
    varied = parse("lighting=10").fitted(images)(images, seed=0, epoch=0, index=np.arange(3))
    assert torch.equal(varied, images)


@quick
@given(seeds, st.sampled_from([1, 3]), st.floats(-300, 300))
def test_lighting_adds_the_same_to_all_pixels(seed, channels, most):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (3, 5, 4, channels), dtype=np.uint8))
    offsets = rng.uniform(-1, 1, (3, channels)) * most
    expected = (images.numpy() + offsets[:, None, None, :]).round().clip(0, 255)
    assert np.array_equal(lighting(images, torch.from_numpy(offsets)).numpy(), expected)


def test_offsets_are_the_papers():
    """[p1 p2 p3][a1 λ1, a2 λ2, a3 λ3]ᵀ with a of N(0, 0.1), written out for ImageNet's values."""
    uniform = torch.from_numpy(np.random.default_rng(0).random((20_000, 3)))
    offsets = draw_lighting(IMAGENET, uniform, 0.1).numpy() / 255
    values = np.array([0.2175, 0.0188, 0.0045])
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)
    shares = offsets @ vectors / values  # back to a1, a2, a3
    np.testing.assert_allclose(shares.mean(axis=0), 0, atol=0.003)
    np.testing.assert_allclose(np.cov(shares.T), 0.01 * np.eye(3), atol=5e-4)
    assert offsets[:, 0] @ offsets[:, 1] > 0, "the first component is nearly grey: the channels go together"


def test_the_extremes_of_the_draws_are_finite():
    uniform = torch.tensor([[0.0] * 3, [1 - 2.0**-53] * 3], dtype=torch.float64)
    assert draw_lighting(IMAGENET, uniform, 0.1).isfinite().all()
    assert TRANSFORMS["lighting-imagenet"].draw(uniform, 0.1).isfinite().all()


def test_fitted_changes_lighting_alone():
    images = coloured(1, 30)
    plain = parse("flip,shift")
    assert plain.fitted(images) is plain
    policy = parse("flip,lighting=0.2,lighting-imagenet")
    fitted = policy.fitted(images)
    assert [(name, strength) for name, _, strength in fitted.steps] == [
        (name, strength) for name, _, strength in policy.steps
    ]
    index = np.arange(30)
    varied = fitted(images, seed=1, epoch=2, index=index)
    assert not torch.equal(varied, images)
    assert torch.equal(varied, policy.fitted(images)(images, seed=1, epoch=2, index=index))


def test_lighting_that_does_not_know_the_colours_is_refused():
    images = coloured(0, 2)
    call = {"seed": 0, "epoch": 0, "index": np.arange(2)}
    with pytest.raises(ArgumentError, match=r"use parse\(\.\.\.\)\.fitted\(images\), or lighting-imagenet"):
        parse("lighting")(images, **call)
    grey = coloured(0, 2, channels=1)
    with pytest.raises(ShapeError, match="for images of 3 channels can't be used on images of 1"):
        parse("lighting-imagenet")(grey, **call)
    with pytest.raises(ShapeError, match="for images of 1 channels can't be used on images of 3"):
        parse("lighting").fitted(grey)(images, **call)
