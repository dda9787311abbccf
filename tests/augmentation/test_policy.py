"""Policies: the text that names them, and variation that depends on each sample alone."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate import seeding
from striate.augmentation import TRANSFORMS, Transform, parse
from striate.augmentation.geometry import affine
from striate.errors import ArgumentError

ALL = "flip,shift=0.2,rotate=30,zoom=0.2,squeeze=0.2,shear=0.2,flip=1"
SINGLE = [name for name, transform in TRANSFORMS.items() if isinstance(transform, Transform)]
MIXTURES = [name for name in TRANSFORMS if name not in SINGLE]


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def written(text):
    policy = parse(text)
    return [(name, strength) for name, _, strength in policy.steps + policy.mixtures]


def vary(text, images, index, seed=0, epoch=0):
    return parse(text).fitted(images)(images, seed=seed, epoch=epoch, index=np.asarray(index))


def test_a_text_is_names_with_strengths_in_order():
    assert written("flip,shift=0.25") == [("flip", 0.5), ("shift", 0.25)]
    assert written(" shift = 0 , flip,,") == [("shift", 0), ("flip", 0.5)]
    assert written("rotate,rotate=5") == [("rotate", 10), ("rotate", 5)]
    for name, transform in TRANSFORMS.items():
        assert written(name) == [(name, transform.default)]
        for bound in transform.bounds:
            assert written(f"{name}={bound}") == [(name, bound)]


def test_nothing_and_none_are_no_steps():
    images = noise(2, 4, 4, 1)
    for text in ("", "none", " none ", ",", "none,"):
        assert written(text) == []
        assert torch.equal(vary(text, images, [0, 1]), images)


def test_mixtures_come_last_and_a_policy_says_what_it_does():
    policy = parse("cutmix,flip,mixup=1,shift")
    assert [name for name, _, _ in policy.steps] == ["flip", "shift"]
    assert [name for name, _, _ in policy.mixtures] == ["cutmix", "mixup"]
    assert (policy.is_active, policy.mixes) == (True, True)
    assert (parse("flip").is_active, parse("flip").mixes) == (True, False)
    assert (parse("mixup").is_active, parse("mixup").mixes) == (True, True)
    assert parse("mixup").steps == ()
    assert (parse("none").is_active, parse("none").mixes) == (False, False)


def test_alexnet_is_the_papers_recipe():
    # Section 4.1: patches of 224 from 256, mirror images, and a normal change of light with standard deviation 0.1
    assert written("alexnet") == [("crop", 1 - 224 / 256), ("flip", 0.5), ("lighting", 0.1)]


def test_lenet5_is_the_papers_set_of_distortions():
    # Section III.A: translation, scaling, squeezing, horizontal shearing
    assert [name for name, _ in written("lenet5")] == ["shift", "zoom", "squeeze", "shear"]
    assert written("flip,lenet5") == [("flip", 0.5), *written("lenet5")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "flop",
            "unknown augmentation 'flop'. Did you mean 'flip'? Known: alexnet, brightness, contrast, crop, cutmix, ",
        ),
        ("flip,=3", "unknown augmentation ''"),
        ("shift=1.01", "augmentation 'shift=1.01': shift takes 0 to 1 (the largest move, as a share of the side)."),
        ("shift=-0.1", "shift takes 0 to 1"),
        ("rotate=181", "rotate takes 0 to 180 (the largest angle, in degrees)"),
        ("zoom=inf", "zoom takes 0 to 3"),
        ("zoom=nan", "zoom takes 0 to 3"),
        ("shift=much", "augmentation 'shift=much': 'much' is not a number."),
        ("shift=", "augmentation 'shift=': '' is not a number."),
        ("lenet5=0.5", "augmentation 'lenet5=0.5': lenet5 is a policy of its own and takes no strength."),
    ],
)
def test_what_is_no_policy_is_refused(text, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize("text", [*SINGLE, ALL, "lenet5", "alexnet"])
@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (5, 7, 12, 3)])
def test_varied_images_are_new_and_of_the_same_kind(text, shape):
    if (text, shape[3]) == ("lighting-imagenet", 1):
        pytest.skip("for colour only")
    images = noise(*shape)
    before = images.clone()
    varied = vary(text, images, range(5))
    assert varied.dtype == torch.uint8
    assert varied.shape == shape
    assert varied.is_contiguous(), "channels last"
    assert torch.equal(images, before)
    assert varied.data_ptr() != images.data_ptr()
    assert torch.equal(varied, images) == ((text, shape[3]) == ("saturation", 1)), "grey has no colour to lose"


@pytest.mark.parametrize("text", SINGLE)
@pytest.mark.parametrize("shape", [(9, 8, 8, 3), (2, 7, 12, 3), (1, 1, 5, 3), (3, 32, 31, 3)])
def test_strength_nought_changes_nothing(text, shape):
    images = noise(*shape)
    assert torch.equal(vary(f"{text}=0", images, range(shape[0])), images)


@quick
@given(st.permutations(range(7)), st.integers(1, 6), st.sampled_from([ALL, *SINGLE, "lenet5", "alexnet"]))
def test_a_samples_variation_does_not_depend_on_its_batch(order, cut, text):
    images, index = noise(7, 6, 5, 3), np.array([3, 0, 100, 7, 8, 9, 5])
    policy = parse(text).fitted(images)
    vary = partial(policy, seed=0, epoch=0)
    whole = vary(images, index=index)
    order = np.array(order)
    assert torch.equal(vary(images[order], index=index[order]), whole[order])
    parts = [vary(images[part], index=index[part]) for part in (slice(cut), slice(cut, None))]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("text", [ALL, "alexnet,trivial,noise,contrast,erase"])
def test_one_worker_or_four_and_one_thread_or_four_make_the_same(text):
    images = noise(64, 20, 20, 3)
    policy = parse(text).fitted(images)

    def batch(start):
        part = slice(start, start + 16)
        return policy(images[part], seed=0, epoch=1, index=np.arange(64)[part])

    alone = [batch(start) for start in range(0, 64, 16)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        with ThreadPoolExecutor(4) as workers:
            together = list(workers.map(batch, range(0, 64, 16)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("text", [*SINGLE, ALL, "alexnet"])
def test_a_gpu_makes_the_same(text):
    """Up to a level, where interpolation rounds otherwise."""
    images = noise(16, 20, 24, 3)
    varied = vary(text, images.cuda(), range(16))
    assert varied.is_cuda
    assert (varied.cpu().int() - vary(text, images, range(16)).int()).abs().max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("text", MIXTURES)
def test_a_gpu_mixes_the_same(text):
    images, labels = noise(16, 20, 24, 3), torch.arange(16) % 3
    mixed, targets = parse(text).mix(images.cuda(), labels.cuda(), 3, seed=0, epoch=0, index=np.arange(16))
    here, right = parse(text).mix(images, labels, 3, seed=0, epoch=0, index=np.arange(16))
    assert (mixed.cpu().int() - here.int()).abs().max() <= 1
    torch.testing.assert_close(targets.cpu(), right)


def test_samples_epochs_and_seeds_differ_and_come_again():
    images = noise(1, 16, 16, 1).expand(50, -1, -1, -1)
    varied = [vary("shift=0.5,rotate=90", images, range(50), seed, epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert torch.equal(vary("shift=0.5,rotate=90", images, range(50)), varied[0])
    for one in varied:
        assert len({each.numpy().tobytes() for each in one}) > 45
        same = [torch.equal(a, b) for other in varied if other is not one for a, b in zip(one, other, strict=True)]
        assert sum(same) < 5


def mirrored_in(epoch, text="flip", seed=0):
    images = noise(1, 16, 16, 1).expand(200, -1, -1, -1)
    return torch.tensor([bool((image != images[0]).any()) for image in vary(text, images, range(200), seed, epoch)])


@pytest.mark.parametrize("epoch", [0, 2, 10])
def test_a_second_epoch_mirrors_what_the_first_did_not(epoch):
    first, second = mirrored_in(epoch), mirrored_in(epoch + 1)
    assert torch.equal(first, ~second)
    assert 70 < first.sum() < 130
    other = mirrored_in(epoch + 2)
    assert 60 < (first == other).sum() < 140, "the next two are drawn anew"


def test_a_share_below_half_never_mirrors_in_both_of_two_epochs():
    first, second = mirrored_in(0, "flip=0.3"), mirrored_in(1, "flip=0.3")
    assert not (first & second).any()
    assert 40 < first.sum() < 80
    assert 40 < second.sum() < 80


def test_two_steps_of_one_name_draw_apart():
    images = noise(1, 16, 16, 1).expand(64, -1, -1, -1)
    turned = vary("flip,flip", images, range(64))
    mirrored = [bool((image != images[0]).any()) for image in turned]
    assert 16 < sum(mirrored) < 48, "twice the same draw would mirror none"


def matrices(name, strength, position, index):
    uniform = seeding.uniform(3, "augment", name, position, 2, index=index, draws=1)
    return TRANSFORMS[name].draw(uniform, strength)


def test_neighbouring_affine_steps_resample_once():
    images, index = noise(4, 9, 14, 3), np.arange(4)
    product = matrices("rotate", 40, 0, index) @ matrices("shear", 0.5, 1, index) @ matrices("zoom", 0.5, 2, index)
    varied = vary("rotate=40,shear=0.5,zoom=0.5", images, index, seed=3, epoch=2)
    assert torch.equal(varied, affine(images, product))
    between = vary("rotate=40,flip=1,zoom=0.5", images, index, seed=3, epoch=2)
    first = affine(images, matrices("rotate", 40, 0, index)).flip(2)
    assert torch.equal(between, affine(first, matrices("zoom", 0.5, 2, index)))


def test_a_product_of_steps_is_one_after_the_other():
    """On a plane, where interpolation is exact, both give the same, so the factors are in the right order."""
    y, x = np.mgrid[:41, :41]
    plane = torch.from_numpy((3 * x + 2 * y).astype(np.uint8))[None, :, :, None].expand(8, -1, -1, -1)
    index = np.arange(8)
    once = vary("shear=0.6,rotate=30", plane, index, seed=3, epoch=2)
    twice = affine(affine(plane, matrices("shear", 0.6, 0, index)), matrices("rotate", 30, 1, index))
    difference = (once.int() - twice.int()).abs()[:, 14:27, 14:27]
    assert difference.max() <= 3, "two roundings, each of half a level, and what they are multiplied by"
