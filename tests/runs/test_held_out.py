"""Which training images are held out of training."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick
from torch import Tensor

from striate.data import Split
from striate.data.lazy import LazyImages
from striate.runs.held_out import FEWEST, MOST_TO_CALIBRATE, divided, held_out
from striate.training import Recipe


def labels_of(counts: list[int]) -> Tensor:
    return torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])


@quick
@given(st.lists(st.integers(1, 90), min_size=2, max_size=5), st.integers(0, 10), st.sampled_from([0.1, 0.2, 0.5]))
def test_each_class_gives_its_share_of_the_images_that_choose(counts: list[int], seed: int, share: float):
    labels = labels_of(counts)
    found = held_out(labels, Recipe(head="fitted", held_out=share, seed=seed))
    expected = [int(share * count) for count in counts]
    if sum(expected) < FEWEST:
        assert len(found) == 0
    else:
        assert labels[found].bincount(minlength=len(counts)).tolist() == expected
        assert found.tolist() == sorted(set(found.tolist()))
    assert not len(held_out(labels, Recipe(head="fitted", held_out=share, freeze_backbone=True)))


@quick
@given(st.lists(st.integers(1, 900), min_size=2, max_size=5), st.integers(0, 10), st.sampled_from([0.05, 0.3]))
def test_each_class_gives_its_share_of_the_images_that_calibrate_but_never_its_last(
    counts: list[int], seed: int, share: float
):
    labels = labels_of(counts)
    found = held_out(labels, Recipe(calibration=share, seed=seed))
    if not len(found):
        assert share * len(labels) < FEWEST + len(counts)
        return
    assert len(found) >= FEWEST
    assert found.tolist() == sorted(set(found.tolist()))
    for given_up, count in zip(labels[found].bincount(minlength=len(counts)).tolist(), counts, strict=True):
        assert given_up < count
        assert abs(given_up - share * count) <= 1


def test_each_image_is_as_likely_as_any_other():
    labels = labels_of([3, 30, 500])
    times = torch.zeros(len(labels))
    for seed in range(400):
        times[held_out(labels, Recipe(calibration=0.05, seed=seed))] += 1
    for label in range(3):
        assert abs(float(times[labels == label].mean()) / 400 - 0.05) < 0.015


def test_no_more_are_held_out_than_are_of_use():
    labels = torch.arange(10).repeat(20_000)
    assert abs(len(held_out(labels, Recipe(calibration=0.05))) - MOST_TO_CALIBRATE) <= 10
    assert not len(held_out(labels, Recipe()))


def test_what_is_trained_on_and_what_is_held_out_are_all_images():
    images, labels = torch.randint(0, 256, (1000, 4, 4, 1), dtype=torch.uint8), torch.arange(1000) % 4
    recipe = Recipe(calibration=0.1)
    split = Split(images, labels, tuple(f"{number}.png" for number in range(1000)))
    kept, held = divided(split, recipe)
    positions = held_out(labels, recipe)
    assert torch.cat([kept, positions]).sort().values.tolist() == list(range(1000))
    assert torch.equal(held.images, images[positions])
    assert torch.equal(held.labels, labels[positions])
    assert held.files == tuple(f"{number}.png" for number in positions.tolist())
    lazy = Split(LazyImages(images.shape, lambda index: images[torch.from_numpy(index)]), labels)
    assert torch.equal(divided(lazy, recipe)[1].images[:5], held.images[:5])
    assert divided(split, Recipe()) == (None, None)
