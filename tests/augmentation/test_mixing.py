"""Mixtures: how much against SciPy's Beta distribution, what against loops, and which pairs."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick, seeds

from striate import seeding
from striate.augmentation import TRANSFORMS, parse
from striate.augmentation.mixing import _beta, erase, inside

CLASSES = 4


def batch(count, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (count, 9, 12, channels), dtype=np.uint8))
    return images, torch.from_numpy(rng.integers(0, CLASSES, count)), np.arange(count) + 10


def mix(text, images, labels, index, seed=5, epoch=2):
    return parse(text).mix(images, labels, CLASSES, seed=seed, epoch=epoch, index=index)


def parameters(name, strength, index, seed=5, epoch=2, position=0):
    mixing = TRANSFORMS[name]
    uniform = seeding.uniform(seed, "mix", name, position, epoch, index=index, draws=mixing.draws)
    return mixing.draw(uniform, strength).numpy()


@pytest.mark.parametrize("strength", [0.2, 0.5, 1, 3, 20])
def test_shares_are_of_the_beta_distribution(strength):
    uniform = torch.from_numpy(np.random.default_rng(0).random((20_000, 2)))
    shares = _beta(uniform, strength).numpy()
    assert scipy.stats.kstest(shares, scipy.stats.beta(strength, strength).cdf).pvalue > 0.01
    larger = TRANSFORMS["mixup"].draw(uniform, strength).numpy()
    assert np.array_equal(larger, np.maximum(shares, 1 - shares))


def test_small_strengths_seldom_mix():
    uniform = torch.from_numpy(np.random.default_rng(0).random((20_000, 2)))
    for strength in (0.001, 0.05):
        shares = _beta(uniform, strength).numpy()
        beta = scipy.stats.beta(strength, strength)
        mixed = np.mean((shares > 0.01) & (shares < 0.99))
        assert mixed == pytest.approx(beta.cdf(0.99) - beta.cdf(0.01), abs=0.01)
        assert np.isfinite(shares).all()


def test_mixup_fades_each_image_into_the_one_before():
    images, labels, index = batch(6)
    mixed, targets = mix("mixup=1", images, labels, index)
    kept = parameters("mixup", 1, index)
    assert kept.min() >= 0.5
    for i in range(6):
        expected = kept[i] * images[i].double() + (1 - kept[i]) * images[i - 1].double()
        assert (mixed[i].double() - expected).abs().max() <= 0.501
        share = np.zeros(CLASSES)
        share[labels[i]] += kept[i]
        share[labels[i - 1]] += 1 - kept[i]
        np.testing.assert_allclose(targets[i], share, atol=1e-6)


def test_cutmix_counts_the_pixels_it_replaced():
    images, labels, index = batch(40)
    mixed, targets = mix("cutmix", images, labels, index)
    replaced = 0
    for i, (down, right, side) in enumerate(parameters("cutmix", 1, index)):
        rows = slice(max(0, int(np.rint((down - side / 2) * 9))), max(0, int(np.rint((down + side / 2) * 9))))
        columns = slice(max(0, int(np.rint((right - side / 2) * 12))), max(0, int(np.rint((right + side / 2) * 12))))
        expected = images[i].clone()
        expected[rows, columns] = images[i - 1][rows, columns]
        assert torch.equal(mixed[i], expected)
        count = np.zeros((9, 12))
        count[rows, columns] = 1
        share = np.zeros(CLASSES)
        share[labels[i]] += 1 - count.mean()
        share[labels[i - 1]] += count.mean()
        np.testing.assert_allclose(targets[i], share, atol=1e-6)
        replaced += count.mean()
    assert 5 < replaced < 30


@pytest.mark.parametrize("text", ["mixup=0.7", "cutmix", "mixup,cutmix"])
def test_what_is_kept_of_the_images_and_their_kind(text):
    images, labels, index = batch(8)
    before = images.clone()
    mixed, targets = mix(text, images, labels, index)
    assert (mixed.dtype, mixed.shape) == (torch.uint8, images.shape)
    assert mixed.is_contiguous()
    assert (targets.dtype, targets.shape) == (torch.float32, (8, CLASSES))
    assert torch.equal(images, before)
    assert not torch.equal(mixed, images)
    np.testing.assert_allclose(targets.sum(dim=1), 1, atol=1e-6)
    again, same = mix(text, images, labels, index)
    assert torch.equal(again, mixed)
    assert torch.equal(same, targets)
    assert not torch.equal(mix(text, images, labels, index, epoch=3)[0], mixed)


@pytest.mark.parametrize("text", ["none", "mixup=0", "cutmix=0", "mixup=0,cutmix=0", "flip"])
def test_strength_nought_keeps_images_and_labels(text):
    images, labels, index = batch(50)
    mixed, targets = mix(text, images, labels, index)
    assert torch.equal(mixed, images)
    assert torch.equal(targets, torch.eye(CLASSES)[labels])


@pytest.mark.parametrize("text", ["mixup=1", "cutmix"])
def test_only_the_partner_depends_on_the_batch(text):
    """A batch split in two gives the same for all images but the first of each part, which have other partners."""
    images, labels, index = batch(10)
    whole, targets = mix(text, images, labels, index)
    for part in (slice(0, 4), slice(4, 10)):
        mixed, answers = mix(text, images[part], labels[part], index[part])
        assert torch.equal(mixed[1:], whole[part][1:])
        assert torch.equal(answers[1:], targets[part][1:])
        assert not torch.equal(mixed[0], whole[part][0])


def test_an_image_alone_has_no_partner():
    images, labels, index = batch(1)
    mixed, targets = mix("mixup=1,cutmix", images, labels, index)
    assert torch.equal(mixed, images)
    assert torch.equal(targets, torch.eye(CLASSES)[labels])


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
