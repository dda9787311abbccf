"""Shares of work, and sums that no division changes."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.data.loader import shard_sizes
from striate.processes import shares
from striate.processes.division import branches, tree_sum

processes = st.integers(1, 12)


@given(st.integers(0, 1000), processes)
def test_shares_are_consecutive_complete_and_even(things: int, count: int):
    found = shares(things, count)
    assert list(itertools.chain(*found)) == list(range(things))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(st.integers(1, 6), st.integers(1, 6))
def test_the_branches_of_all_shares_make_up_the_tree_once(count: int, each: int):
    parts = count * each
    every = [branches(parts, share) for share in shares(parts, count)]
    assert list(itertools.chain(*(range(*branch) for found in every for branch in found))) == list(range(parts))
    if parts & (parts - 1) == 0:
        assert all(len(found) == 1 for found in every), "a power of two sends one sum a process"


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_a_sum_of_branches_is_the_sum_of_the_parts_to_the_last_bit(count: int, each: int, seed: int):
    parts = count * each
    numbers = torch.randn(parts, 5, generator=torch.Generator().manual_seed(seed)) * 10.0 ** torch.arange(-2, 3)

    def single(branch: tuple[int, int]) -> list[torch.Tensor] | None:
        return [numbers[branch[0], :2].clone(), numbers[branch[0], 2:].clone()] if branch[1] - branch[0] == 1 else None

    known = {branch: tree_sum(branch, single) for share in shares(parts, count) for branch in branches(parts, share)}
    total = torch.cat(tree_sum((0, parts), known.get))
    assert torch.equal(total, torch.cat(tree_sum((0, parts), single)))
    assert torch.allclose(total, numbers.double().sum(0).float(), rtol=1e-4, atol=1e-4)


@given(st.integers(1, 500), st.integers(1, 16))
def test_shards_hold_every_sample_and_never_a_single_one(samples: int, shards: int):
    sizes = shard_sizes(samples, shards)
    used = [size for size in sizes if size]
    assert (len(sizes), sum(sizes)) == (shards, samples)
    assert sizes == used + [0] * (shards - len(used))
    assert max(used) - min(used) <= 1
    assert 1 not in used or samples == 1
