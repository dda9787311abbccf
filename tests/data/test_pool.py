"""Memory is taken again when nothing refers to it any more, and not before."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.data.pool import Pool


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_is_given_back_is_taken_again(dtype: torch.dtype) -> None:
    pool = Pool(dtype, 2)
    first = pool.empty(4, 3, 2)
    assert first.shape == (4, 3, 2)
    assert first.dtype == dtype
    assert first.is_contiguous()
    where = first.data_ptr()
    del first
    assert pool.empty(2, 5).data_ptr() == where


def test_what_a_view_refers_to_is_not() -> None:
    pool = Pool(torch.float32, 4)
    whole = pool.empty(4, 3).fill_(1)
    part = whole[2:].permute(1, 0)
    del whole
    pool.empty(4, 3).fill_(2)
    assert part.unique().tolist() == [1]


def test_what_is_too_small_makes_way() -> None:
    pool = Pool(torch.uint8, 4)
    pool.empty(3)
    large = pool.empty(10)
    where = large.data_ptr()
    del large
    assert pool.empty(3).data_ptr() == where


def test_cleared_memory_is_gone() -> None:
    pool = Pool(torch.uint8, 4)
    kept = pool.empty(3)
    pool.empty(5)
    pool.clear()
    assert not pool._free
    del kept  # comes back even so
    assert len(pool._free) == 1


def test_no_more_is_kept_than_was_said() -> None:
    pool = Pool(torch.uint8, 2)
    held = [pool.empty(3) for _ in range(5)]
    del held
    assert len(pool._free) == 2


@quick
@given(st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=30))
def test_tensors_in_use_never_share_memory(asked: list[tuple[int, bool]]) -> None:
    pool, held = Pool(torch.float32, 3), []
    for value, (size, release) in enumerate(asked):
        held.append((value, pool.empty(size).fill_(value)))
        if release:
            held.pop(len(held) // 2)
        for expected, tensor in held:
            assert tensor.unique().tolist() == [expected]


def test_threads_may_share_it() -> None:
    pool = Pool(torch.float32, 4)

    def use(value: int) -> bool:
        return all(bool((pool.empty(1000 + turn).fill_(value) == value).all()) for turn in range(200))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(8)))
    assert 1 <= len(pool._free) <= 4
