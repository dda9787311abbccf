"""Epochs in a drawn order, divided among processes: each image once, and none read again after a resume."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate import seeding
from striate.data import LazyImages, Split
from striate.data.loader import Loader, buffered
from striate.errors import ArgumentError
from striate.preprocess import Preprocess
from striate.processes import shares

shards = st.lists(st.integers(1, 12), min_size=1, max_size=6)  # how many images lie in each


def stored(sizes: list[int]) -> torch.Tensor:
    """The places of images in shards of these sizes, whose positions in the split say nothing about them."""
    places = [(shard, 512 * number) for shard, size in enumerate(sizes) for number in range(size)]
    return torch.tensor(places)[torch.randperm(len(places), generator=seeding.generator(len(places), "stored"))]


def loaders(sizes, batch_size, processes, buffer, seed, read):
    """A loader for each process; the positions that each reads are added to `read`."""
    count = sum(sizes)

    def fetch(positions: np.ndarray) -> torch.Tensor:
        read.extend(positions.tolist())
        return torch.from_numpy(positions % 256).to(torch.uint8)[:, None, None, None].expand(-1, 1, 1, 1).clone()

    split = Split(LazyImages((count, 1, 1, 1), fetch), torch.arange(count), places=stored(sizes))
    return [
        Loader(split, Preprocess(1, 1, 1), batch_size, seed, shards=12, own=own, buffer=buffer)
        for own in shares(12, processes)
    ]


def batch(made: list[Loader], step: int) -> list[int]:
    """The images in the batch of a step, those of the first process first; nothing is made ahead."""
    epoch, position = divmod(step, made[0].steps_per_epoch)
    assert made[0].together == 1  # images are decoded on demand
    return [
        label
        for loader in made
        for part in loader._make(epoch * loader.steps_per_epoch + position)[0]
        for label in part.targets.tolist()
    ]


@quick
@given(shards, st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 6]), st.integers(0, 20), st.integers(0, 2), st.data())
def test_each_image_is_read_once_an_epoch_by_one_process_and_never_after_a_resume(
    sizes, batch_size, processes, buffer, epoch, data
):
    alone = loaders(sizes, batch_size, 1, buffer, 7, [])
    steps = alone[0].steps_per_epoch
    expected = [batch(alone, epoch * steps + step) for step in range(steps)]
    assert sorted(itertools.chain(*expected)) == list(range(sum(sizes)))
    begin, resumed = data.draw(st.integers(0, steps)), data.draw(st.sampled_from([1, 2, 3, 4, 6]))
    seen = []
    first = loaders(sizes, batch_size, processes, buffer, 7, seen)
    assert [batch(first, epoch * steps + step) for step in range(begin)] == expected[:begin]
    second = loaders(sizes, batch_size, resumed, buffer, 7, seen)
    assert [batch(second, epoch * steps + step) for step in range(begin, steps)] == expected[begin:]
    assert sorted(seen) == list(range(sum(sizes))), "each image is read once, before the resume or after it"


@quick
@given(shards, st.integers(1, 20), st.integers(0, 2**31))
def test_a_buffer_mixes_what_is_read_next_and_reads_files_one_after_another(sizes, buffer, seed):
    places = stored(sizes)
    order = buffered(places, buffer, torch.Generator().manual_seed(seed))
    assert sorted(order.tolist()) == list(range(len(places)))
    assert torch.equal(order, buffered(places, buffer, torch.Generator().manual_seed(seed)))
    plain = buffered(places, 1, torch.Generator().manual_seed(seed))
    read = places[plain]
    assert (read[1:, 1] > read[:-1, 1])[read[1:, 0] == read[:-1, 0]].all(), "from the beginning of a file to its end"
    assert (read[1:, 0] != read[:-1, 0]).sum() == len(sizes) - 1, "one file after another"
    turn = {position: number for number, position in enumerate(plain.tolist())}
    assert all(turn[position] < step + buffer for step, position in enumerate(order.tolist()))


def test_a_buffer_of_all_images_draws_each_order_equally_often():
    draw = torch.Generator().manual_seed(0)
    found = [tuple(buffered(stored([2, 1]), 3, draw).tolist()) for _ in range(6000)]
    counts = [found.count(each) for each in set(found)]
    assert len(counts) == 6
    assert min(counts) > 850  # of 1,000; five standard deviations below


def test_epochs_and_seeds_have_orders_of_their_own():
    first, other = (loaders([9, 9, 9], 4, 1, 5, seed, [])[0] for seed in (0, 1))
    orders = [tuple(each.tolist()) for each in (first.order(0), first.order(1), other.order(0))]
    assert len(set(orders)) == 3


def test_images_that_lie_in_files_of_their_own_have_no_buffer():
    split = Split(torch.zeros(4, 1, 1, 1, dtype=torch.uint8), torch.arange(4))
    with pytest.raises(ArgumentError, match="a shuffle buffer is for images in tar shards"):
        Loader(split, Preprocess(1, 1, 1), buffer=3)
