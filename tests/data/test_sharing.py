"""Shares of the work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.sharing import share
from striate.errors import ArgumentError

counts = st.integers(0, 200)
sizes = st.integers(1, 9)


@given(counts, sizes, sizes)
def test_every_position_goes_to_one_worker_of_one_process(count: int, world: int, workers: int) -> None:
    shares = [share(count, rank, world, worker, workers) for rank in range(world) for worker in range(workers)]
    taken = sorted(position for each in shares for position in each)
    assert taken == list(range(count))


@given(counts, sizes, sizes)
def test_no_share_is_larger_than_another_by_more_than_one(count: int, world: int, workers: int) -> None:
    processes = [len(share(count, rank, world)) for rank in range(world)]
    assert max(processes) - min(processes) <= 1
    for rank in range(world):
        parts = [len(share(count, rank, world, worker, workers)) for worker in range(workers)]
        assert max(parts) - min(parts) <= 1


@given(counts, sizes, sizes, st.data())
def test_workers_change_nothing_about_what_their_process_takes(
    count: int, world: int, workers: int, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(0, world - 1))
    together = sorted(p for worker in range(workers) for p in share(count, rank, world, worker, workers))
    assert together == list(share(count, rank, world))


@given(sizes, sizes, st.integers(0, 20))
def test_whole_batches_are_cut_evenly_and_in_order(world: int, per_process: int, steps: int) -> None:
    """Step s of all processes together is the batch that one process alone would have taken."""
    batch = world * per_process
    shares = [list(share(batch * steps, rank, world)) for rank in range(world)]
    for step in range(steps):
        taken = [p for each in shares for p in each[step * per_process : (step + 1) * per_process]]
        assert sorted(taken) == list(range(step * batch, (step + 1) * batch))


@pytest.mark.parametrize(
    "place", [{"rank": 2, "world": 2}, {"rank": -1}, {"worker": 1}, {"world": 0}, {"workers": 0}, {"worker": -1}]
)
def test_a_place_that_can_not_be_is_refused(place: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="count from 0"):
        share(10, **place)
