"""The split of images nobody has split: stable, stratified, the same everywhere."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.splits import hold_out, portion, ranked, share
from striate.errors import ArgumentError

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=60, unique=True)


@pytest.mark.slow
@given(names, st.randoms())
def test_the_order_of_the_files_does_not_matter(keys: list[str], random) -> None:
    shuffled = random.sample(keys, len(keys))
    assert dict(zip(keys, hold_out(keys), strict=True)) == dict(zip(shuffled, hold_out(shuffled), strict=True))
    assert [keys[position] for position in ranked(keys)] == [shuffled[position] for position in ranked(shuffled)]


@given(names)
def test_every_class_keeps_most_of_its_images_to_train_on(keys: list[str]) -> None:
    counts = Counter(hold_out(keys))
    assert counts["train"] >= max(1, 0.6 * len(keys))
    assert counts["val"] <= counts["test"] <= counts["val"] + 1
    if len(keys) >= 5:
        assert counts["test"] == counts["val"] == portion(len(keys), 0.1) >= 1


@given(names, st.text(min_size=9, max_size=9))
def test_a_new_file_moves_at_most_two_others(keys: list[str], new: str) -> None:
    before = dict(zip(keys, hold_out(keys), strict=True))
    after = dict(zip([*keys, new], hold_out([*keys, new]), strict=True))
    moves = [(before[key], after[key]) for key in keys if before[key] != after[key]]
    assert len(moves) <= 2
    assert all("train" in move for move in moves)  # none between val and test


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (2, 0, 0)),
        (3, (2, 0, 1)),
        (4, (3, 0, 1)),
        (5, (3, 1, 1)),
        (14, (12, 1, 1)),
        (15, (11, 2, 2)),
    ],
)
def test_small_classes(count: int, expected: tuple[int, int, int]) -> None:
    counts = Counter(hold_out([f"{number}.png" for number in range(count)]))
    assert (counts["train"], counts["val"], counts["test"]) == expected


def test_the_split_is_the_same_in_every_version() -> None:
    # Written down from the first version: whoever trained on that must not test on images it has seen.
    keys = [f"cats/{number:02}.jpg" for number in range(20)]
    splits = dict(zip(keys, hold_out(keys), strict=True))
    assert [key for key in keys if splits[key] == "test"] == ["cats/08.jpg", "cats/14.jpg"]
    assert [key for key in keys if splits[key] == "val"] == ["cats/03.jpg", "cats/17.jpg"]


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
