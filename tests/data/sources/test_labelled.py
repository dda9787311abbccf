"""Classes and splits of samples that carry their own labels."""

from pathlib import Path

import pytest

from striate.data.build import Part
from striate.data.images.image_ref import ImageRef
from striate.data.images.ref_lists import PartsOfFiles, Texts
from striate.data.sources.labelled import Labelled, named, planned
from striate.data.splits import hold_out
from striate.errors import DataError


def test_numbers_are_ordered_as_numbers_and_names_as_text() -> None:
    assert list(named("s", [10, 9, 10, 2]).items()) == [(2, "2"), (9, "9"), (10, "10")]
    assert list(named("s", ["b", "a", "B"]).items()) == [("B", "B"), ("a", "a"), ("b", "b")]


def test_numbers_among_names_are_refused() -> None:
    with pytest.raises(DataError, match=r"^s: some labels are numbers, like 3, and others names, like 'cat'"):
        named("s", [3, "cat", 5])


def labelled(*images: tuple[str, int | str]) -> Labelled:
    keys, labels = zip(*images, strict=True)
    return Labelled(PartsOfFiles.of([ImageRef(Path(key)) for key in keys]), Texts.of(keys), labels)


def keys(plan: dict[str, Part]) -> dict[str, list[tuple[str, int]]]:
    return {
        split: [(image_ref.path.as_posix(), position) for image_ref, position in zip(*part, strict=True)]
        for split, part in plan.items()
    }


def test_splits_are_kept_and_sorted_by_class_and_key() -> None:
    splits = {"train": labelled(("b/1", "y"), ("b-1", "y"), ("z", "x")), "val": labelled(("b/1", "y"))}
    assert keys(planned("s", splits, {"x": "x", "y": "y"})) == {
        "train": [("z", 0), ("b/1", 1), ("b-1", 1)],  # "b/1" before "b-1", as paths are sorted
        "val": [("b/1", 1)],
    }


def test_what_is_not_split_is_held_out_class_by_class() -> None:
    names = [f"{number}.jpg" for number in range(40)]
    samples = labelled(*((name, number % 2) for number, name in enumerate(names)))
    plan = keys(planned("s", {"all": samples}, {0: "cats", 1: "dogs"}))
    assert {split: len(part) for split, part in plan.items()} == {"train": 32, "val": 4, "test": 4}
    for label in (0, 1):
        own = sorted(names[label::2])
        places = {key: split for split, part in plan.items() for key, position in part if position == label}
        assert [places[key] for key in own] == hold_out(own)


def test_every_class_has_something_to_train_on() -> None:
    classes = dict(enumerate(("cats", "dogs", "owls")))
    with pytest.raises(DataError, match=r"^s: no training image of cats, owls"):
        planned("s", {"train": labelled(("a", 1)), "val": labelled(("b", 0))}, classes)
