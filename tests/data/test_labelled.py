"""Classes and splits of samples that carry their own labels."""

import pytest

from striate.data.labelled import Labelled, named, planned
from striate.data.splitting import hold_out
from striate.errors import DataError


def test_numbers_are_ordered_as_numbers_and_names_as_text() -> None:
    assert list(named("s", [10, 9, 10, 2]).items()) == [(2, "2"), (9, "9"), (10, "10")]
    assert list(named("s", ["b", "a", "B"]).items()) == [("B", "B"), ("a", "a"), ("b", "b")]


def test_numbers_among_names_are_refused() -> None:
    with pytest.raises(DataError, match=r"^s: some labels are numbers, like 3, and others names, like 'cat'"):
        named("s", [3, "cat", 5])


def test_splits_are_kept_and_sorted_by_class_and_key() -> None:
    samples = [Labelled("d", "b/1", "y"), Labelled("c", "b-1", "y"), Labelled("a", "z", "x")]
    splits = {"train": samples, "val": samples[:1]}
    assert planned("s", splits, {"x": "x", "y": "y"}) == {
        "train": [("a", 0), ("d", 1), ("c", 1)],  # "b/1" before "b-1", as paths are sorted
        "val": [("d", 1)],
    }


def test_what_is_not_split_is_held_out_class_by_class() -> None:
    keys = [f"{number}.jpg" for number in range(40)]
    samples = [Labelled(key, key, number % 2) for number, key in enumerate(keys)]
    plan = planned("s", {"all": samples}, {0: "cats", 1: "dogs"})
    assert {split: len(part) for split, part in plan.items()} == {"train": 32, "val": 4, "test": 4}
    for label in (0, 1):
        own = sorted(keys[label::2])
        places = {key: split for split, part in plan.items() for key, position in part if position == label}
        assert [places[key] for key in own] == hold_out(own)


def test_every_class_has_something_to_train_on() -> None:
    with pytest.raises(DataError, match=r"^s: no image to train on of cats, owls"):
        planned(
            "s",
            {"train": [Labelled("a", "a", 1)], "val": [Labelled("b", "b", 0)]},
            dict(enumerate(("cats", "dogs", "owls"))),
        )
