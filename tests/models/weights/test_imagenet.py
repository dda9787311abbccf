"""The classes of ImageNet."""

import os
from pathlib import Path

import pytest

from striate.models.weights.imagenet import class_names, position, synsets


def test_there_are_1000_in_the_order_of_their_ids():
    ids = [each.wnid for each in synsets()]
    assert len(ids) == 1000
    assert ids == sorted(set(ids))
    assert (ids[0], ids[388], ids[-1]) == ("n01440764", "n02510455", "n15075141"), "tench, giant panda, toilet tissue"


def test_names_are_the_first_words_and_unique():
    names = class_names()
    assert len(set(names)) == 1000
    assert (names[0], names[388]) == ("tench", "giant panda")
    assert (names[134], names[517]) == ("crane (n02012849)", "crane (n03126707)")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("n02510455", 388),
        ("N02510455_whatever", 388),
        ("Giant_Panda", 388),
        ("coon-bear", 388),
        ("crane (n03126707)", 517),
        ("jack-o'-lantern", 607),
        ("jack o lantern", 607),
        ("crane", None),
        ("bee", 309),
        ("no such thing", None),
        ("", None),
    ],
)
def test_ids_and_words_are_found(name: str, expected: int | None):
    assert position(name) == expected


@pytest.mark.parametrize("number", range(0, 1000, 37))
def test_every_class_is_found_by_its_id_and_its_name(number: int):
    assert position(synsets()[number].wnid) == position(class_names()[number]) == number


def test_the_names_of_sample_files_are_those_of_their_ids():
    folder = Path(os.environ.get("STRIATE_DATA", "")) / "imagenet-sample"
    if not folder.is_dir():
        pytest.skip("needs imagenet-sample in $STRIATE_DATA")
    for path in folder.iterdir():
        wnid, _, words = path.stem.partition("_")
        found = position(words)
        assert found is None or synsets()[found].wnid == wnid
        assert words.casefold() in [
            word.casefold().replace(" ", "_").replace("'", "") for word in synsets()[position(wnid)].words
        ]
