"""Training batches: each sample once an epoch, and any step's batch without those before it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.augmentation import parse
from striate.data import Split
from striate.data.batches import Batches
from striate.preprocess import Preprocess

PREPROCESS = Preprocess(2, 3, 1, mean=(0.5,), std=(0.25,))
counts = st.tuples(st.integers(1, 40), st.integers(1, 50))


def batches(count, batch_size, seed=0, vary=None):
    """Every image's pixels, and its label, are its own index."""
    index = torch.arange(count)
    images = index.to(torch.uint8)[:, None, None, None].expand(-1, 2, 3, 1).contiguous()
    return Batches(Split(images, index), PREPROCESS, batch_size, seed, vary)


@quick
@given(counts, st.integers(0, 3))
def test_each_sample_comes_once_an_epoch(count, epoch):
    made = batches(*count)
    steps = made.steps_per_epoch
    seen = [made[step].targets for step in range(epoch * steps, (epoch + 1) * steps)]
    assert torch.equal(torch.cat(seen), made.order(epoch))
    assert sorted(torch.cat(seen).tolist()) == list(range(count[0]))
    samples, batch_size = count
    assert [len(part) for part in seen[:-1]] == [batch_size] * (steps - 1)
    assert len(seen[-1]) == samples - batch_size * (steps - 1) > 0


@quick
@given(counts, st.data())
def test_any_step_gives_its_batch_without_those_before_it(count, data):
    one = batches(*count)
    in_order = [one[step] for step in range(3 * one.steps_per_epoch)]
    other = batches(*count)
    for step in data.draw(st.lists(st.integers(0, len(in_order) - 1), max_size=6)):
        assert torch.equal(other[step].targets, in_order[step].targets)
        assert torch.equal(other[step].inputs, in_order[step].inputs)


def test_epochs_and_seeds_differ():
    orders = [tuple(batches(40, 8, seed).order(epoch).tolist()) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({*orders, tuple(range(40))}) == 7
    made = batches(40, 8)
    assert [made.order(epoch).tolist() for epoch in (0, 1, 0)] == [list(orders[epoch]) for epoch in (0, 1, 0)]


def test_the_default_generator_is_not_used():
    before = torch.get_rng_state()
    batches(40, 8, vary=parse("flip,shift,rotate"))[7]
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_are_normalised_and_belong_to_their_targets():
    batch = batches(40, 7)[2]
    assert batch.inputs.shape == (7, 1, 2, 3)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.dtype == torch.int64
    assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
    expected = (batch.targets.numpy() / 255 - 0.5) / 0.25
    np.testing.assert_allclose(batch.inputs[:, 0, 1, 2].numpy(), expected, rtol=1e-5)


def test_five_images_fill_a_part_of_one_batch():
    made = batches(5, 128)
    assert made.steps_per_epoch == 1
    for step in range(3):
        assert sorted(made[step].targets.tolist()) == [0, 1, 2, 3, 4]
        assert made[step].inputs.shape == (5, 1, 2, 3)


@pytest.mark.parametrize(("step", "epoch"), [(0, 0), (4, 0), (5, 1), (13, 2)])
def test_variation_is_told_the_epoch_and_each_samples_own_index(step, epoch):
    told = {}

    def vary(images, **words):
        told.update(words, images=images.clone())
        return 255 - images

    made = batches(40, 8, seed=3, vary=vary)
    batch = made[step]
    assert (told["seed"], told["epoch"]) == (3, epoch)
    assert told["index"].dtype == np.int64
    assert told["index"].tolist() == batch.targets.tolist() == told["images"][:, 0, 0, 0].tolist()
    np.testing.assert_allclose(batch.inputs[:, 0, 0, 0], (1 - batch.targets / 255 - 0.5) / 0.25, rtol=1e-5)


def test_a_sample_is_varied_alike_in_batches_of_any_size():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 6, 6, 1), dtype=np.uint8))
    split, preprocess = Split(images, torch.arange(30)), Preprocess(6, 6, 1)
    seen = []
    for batch_size in (4, 30):
        made = Batches(split, preprocess, batch_size, 0, parse("lenet5"))
        parts = [made[step] for step in range(made.steps_per_epoch)]
        order = torch.cat([part.targets for part in parts]).argsort()
        seen.append(torch.cat([part.inputs for part in parts])[order])
    assert torch.equal(*seen)
    assert torch.equal(split.images, images)
    assert not torch.equal(seen[0], preprocess.normalize(images))
