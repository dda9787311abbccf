"""The one grammar of `load`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from striate.data import load
from striate.data.loading import lasting, short_name
from striate.errors import ArgumentError, DataError, ShapeError
from striate.preprocess import Preprocess


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'digits'") as caught:
        load("digitss")
    assert "digits, fashion-mnist, mnist" in str(caught.value)
    assert "The path of a folder of images works too" in str(caught.value)
    assert "shards-{000..063}.tar" in str(caught.value)
    assert "hf:NAME" in str(caught.value)


def test_a_path_that_does_not_exist_is_no_misspelt_name() -> None:
    with pytest.raises(DataError, match="no/such/folder does not exist"):
        load("no/such/folder")


def test_a_name_comes_before_a_folder_and_a_path_after(
    folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(a=1, b=1)
    root.rename(root.with_name("digits"))
    monkeypatch.chdir(root.parent)
    assert len(load("digits").classes) == 10
    dataset = load("./digits")
    assert (dataset.source, dataset.classes) == ("./digits", ("a", "b"))
    (root.parent / "digits").rename(root.parent / "pets")
    assert load("pets").classes == load(Path("pets")).classes == ("a", "b")


def test_arrays_are_brought_to_the_size_and_channels_asked_for() -> None:
    native = load("digits")
    dataset = load("digits", image_size=(12, 10), channels=3, fit="stretch")
    assert dataset.train.images.shape == (1438, 12, 10, 3)
    assert dataset.test is not None
    assert dataset.test.images.shape == (359, 12, 10, 3)
    assert dataset.fit == "stretch"
    expected = Preprocess(12, 10, 3, "stretch", (0.0,) * 3, (1.0,) * 3).conform(native.train.images[7].numpy())
    assert np.array_equal(dataset.train.images[7].numpy(), expected)
    assert load("digits", image_size=16).train.images.shape == (1438, 16, 16, 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"image_size": 0}, ShapeError),
        ({"image_size": (8, -1)}, ShapeError),
        ({"channels": 0}, ShapeError),
        ({"channels": 4}, ShapeError),
        ({"fit": "squeeze"}, ArgumentError),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_read(arguments: dict, error: type) -> None:
    with pytest.raises(error):
        load("no/such/folder", **arguments)


def test_each_kind_of_source_goes_to_its_reader() -> None:
    for source, complaint in (
        ("no/such/shards-{0..1}.tar", "2 of 2 shards are missing"),
        ("no/such/{train,val}.tar", "2 of 2 shards are missing"),
        ("no/such.tar", "a shard is missing"),
        ("no/such.tar/cats", "no/such.tar/cats does not exist"),
    ):
        with pytest.raises(DataError, match=complaint):
            load(source)
    with pytest.raises((ArgumentError, DataError), match=r"^hf:no/such/set/name"):
        load("hf:no/such/set/name")


def test_a_source_lasts_in_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    for source, expected in {
        "digits": "digits",
        "./digits": f"{tmp_path}/digits",
        "pets": f"{tmp_path}/pets",
        "a/b-{0..3}.tar": f"{tmp_path}/a/b-{{0..3}}.tar",
        "hf:owner/name#fine": "hf:owner/name#fine",
        "hf:pets#fine": f"hf:{tmp_path}/pets#fine",
        "memory": "memory",
    }.items():
        assert lasting(source) == expected
        assert lasting(lasting(source)) == expected


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("digits", "digits"),
        ("a/shards-{000..063}.tar", "shards-000..063-.tar"),
        ("{train,val}-0.tar", "train-val-0.tar"),
        ("hf:owner/name", "name"),
        ("hf:mnist", "hf-mnist"),
        ("hf:owner/name#fine", "name-fine"),
    ],
)
def test_files_made_from_a_source_have_plain_names(source: str, name: str) -> None:
    assert short_name(source) == name


def test_the_name_of_here_is_the_folder(folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder(a=1, b=1))
    assert short_name(".") == "set"
