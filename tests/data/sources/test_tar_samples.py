"""The samples of one shard."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.sources import tar_samples
from striate.data.sources.tar_samples import NAME, ShardInfo, read_shard
from striate.errors import DataError

MakeShard = Callable[..., Path]
INFO = ShardInfo(("cats", "dogs"), "train", 1).to_bytes()


def found(path: Path) -> dict[str, tuple[bytes, int | str]]:
    """Image and label of each sample, by the image's name."""
    image_refs, _, labels = read_shard(path).samples
    return {each.name: (each.read(), label) for each, label in zip(image_refs, labels, strict=True)}


def test_an_image_and_its_label_share_their_name_up_to_the_first_dot(shard: MakeShard) -> None:
    path = shard(
        "a.tar",
        [
            ("cats/01.jpg", b"one"),
            ("cats/01.cls", b"3"),
            ("dogs/01.PNG", b"two"),
            ("dogs/01.cls", b" 12\n"),
            ("./v1.0/x.webp", b"three"),  # a folder's dots don't count
            ("./v1.0/x.json", b'{"label": 4}'),
            ("late.jpeg", b"four"),
            ("other.jpeg", b"five"),
            ("other.cls", b"0"),
            ("late.cls", b"7"),
        ],
    )
    assert found(path) == {
        "cats/01.jpg": (b"one", 3),
        "dogs/01.PNG": (b"two", 12),
        "./v1.0/x.webp": (b"three", 4),
        "late.jpeg": (b"four", 7),
        "other.jpeg": (b"five", 0),
    }
    assert not read_shard(path).problems
    assert not read_shard(path).others
    assert list(read_shard(path).samples.keys)[:2] == ["a.tar/cats/01.jpg", "a.tar/dogs/01.PNG"]


@pytest.mark.parametrize(
    ("kind", "content", "label"),
    [
        ("cls", b"0", 0),
        ("cls", b"007", 7),
        ("cls", "Löwe\n".encode(), "Löwe"),
        ("json", b'{"label": "lion", "width": 3}', "lion"),
        ("json", b'{"class": 2}', 2),
        ("json", b'{"label": "5"}', 5),
        ("json", b'{"label": 1, "class": "other"}', 1),
    ],
)
def test_labels_are_numbers_or_names(shard: MakeShard, kind: str, content: bytes, label: int | str) -> None:
    assert found(shard("a.tar", {"x.jpg": b"", f"x.{kind}": content})) == {"x.jpg": (b"", label)}


def test_cls_counts_more_than_json(shard: MakeShard) -> None:
    path = shard("a.tar", {"x.jpg": b"", "x.json": b'{"label": 1}', "x.cls": b"2", "x.txt": b"a lion"})
    assert found(path)["x.jpg"][1] == 2
    assert read_shard(path).others == {".json": 1, ".txt": 1}


@pytest.mark.parametrize(
    ("members", "name", "reason"),
    [
        ({"x.jpg": b""}, "x.jpg", "no label: neither a .cls nor a .json file"),
        ({"x.jpg": b"", "x.txt": b"lion"}, "x.jpg", "no label: neither a .cls nor a .json file"),
        ({"x.jpg": b"", "x.cls": b""}, "x.jpg", "'' is no label: expected a whole number from 0, or a name"),
        ({"x.jpg": b"", "x.cls": b"-1"}, "x.jpg", "'-1' is no label: expected a whole number from 0, or a name"),
        ({"x.jpg": b"", "x.cls": b"1.5"}, "x.jpg", "'1.5' is no label: expected a whole number from 0, or a name"),
        ({"x.jpg": b"", "x.cls": b"a\x1b[2J"}, "x.jpg", r"'a\x1b[2J' is no label: expected a whole number from 0, "),
        ({"x.jpg": b"", "x.json": b'{"label": true}'}, "x.jpg", "'True' is no label"),
        ({"x.jpg": b"", "x.json": b'{"label": null}'}, "x.jpg", "'None' is no label"),
        ({"x.jpg": b"", "x.json": b'{"width": 3}'}, "x.jpg", 'no label: its .json has neither "label"'),
        ({"x.jpg": b"", "x.json": b"[3]"}, "x.jpg", 'no label: its .json has neither "label"'),
        ({"x.jpg": b"", "x.json": b"{"}, "x.jpg", "its .json is damaged"),
        ({"x.jpg": b"", "x.json": b"[" * 100_000}, "x.jpg", "its .json is damaged"),
        ({"x.cls": b"1"}, "x", "no image of this name: .cls"),
        ({"x.v2.jpg": b"", "x.v2.cls": b"1"}, "x", "no image of this name: .v2.jpg, .v2.cls"),
        ({"x.jpg": b"", "x.png": b"", "x.cls": b"1"}, "x", "several images of this name: .jpg, .png, .cls"),
        ({f"x.{n}.jpg": b"" for n in range(7)}, "x", "no image of this name: .0.jpg, .1.jpg, .2.jpg"),
        ([("x.jpg", b"1"), ("x.jpg", b"2"), ("x.cls", b"1")], "x.jpg", "two members of this name"),
        ([("x.jpg", b"1"), ("x.cls", b"2"), ("x.cls", b"1")], "x.cls", "two members of this name"),
        ({"\x1b[2J.jpg": b""}, r"\x1b[2J.jpg", "no label: neither"),
    ],
)  # fmt: skip
def test_a_sample_that_can_not_be_used_is_named(shard: MakeShard, members: dict, name: str, reason: str) -> None:
    path = shard("a.tar", members)
    ((label, why),) = read_shard(path).problems.items()
    assert label == f"{path}: {name}"
    assert why.startswith(reason)
    assert not read_shard(path).samples.labels


def test_what_belongs_to_no_sample_is_counted(shard: MakeShard, tmp_path: Path) -> None:
    path = shard("a.tar", {"README": b"", "._x.jpg": b"", "y.txt": b"", "z.json": b"{}", "z.npy": b""})
    assert read_shard(path).others == {"hidden or without a suffix": 2, ".txt": 1, ".json": 1, ".npy": 1}
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("x.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert read_shard(path).others["link"] == 1


def test_a_packed_shard_says_what_its_numbers_mean(shard: MakeShard) -> None:
    path = shard(
        "a.tar", {NAME: INFO, "x.jpg": b"", "x.cls": b"1", "y.jpg": b"", "y.cls": b"2", "z.jpg": b"", "z.cls": b"a"}
    )
    read = read_shard(path)
    assert read.info == ShardInfo(("cats", "dogs"), "train", 1)
    assert (list(read.samples.keys), read.samples.labels) == (["x.jpg"], [1])
    assert read.problems == {
        f"{path}: y.jpg": "label '2' is none of the 2 classes",
        f"{path}: z.jpg": "label 'a' is none of the 2 classes",
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        json.dumps(json.loads(INFO) | {"classes": "cats"}).encode(),
        json.dumps(json.loads(INFO) | {"classes": [1, 2]}).encode(),
        json.dumps(json.loads(INFO) | {"split": "extra"}).encode(),
        json.dumps(json.loads(INFO) | {"shards": "3"}).encode(),
        json.dumps(json.loads(INFO) | {"version": 2}).encode(),
    ],
)
def test_what_a_packed_shard_says_must_make_sense(shard: MakeShard, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.tar: its __striate__ is damaged .*Pack it again"):
        read_shard(shard("a.tar", {NAME: content}))


def test_long_metadata_is_not_read_whole(shard: MakeShard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_samples, "_LONGEST", 100)
    path = shard("a.tar", {"x.jpg": b"", "x.json": b'{"label": 1, "caption": "' + b"a" * 100 + b'"}'})
    assert list(read_shard(path).problems.values()) == ["its .json is damaged or longer than 100 bytes"]


@given(st.lists(st.text(), max_size=5).map(tuple), st.sampled_from(["train", "val", "test"]), st.integers(0, 10**6))
def test_it_comes_back_as_it_was_written(classes: tuple[str, ...], split: str, shards: int) -> None:
    info = ShardInfo(classes, split, shards)
    assert ShardInfo.from_bytes(info.to_bytes()) == info
    assert info.to_bytes().isascii()


def test_other_readers_of_webdataset_shards_pass_its_name_over() -> None:
    """They look for a dot after the last slash, and leave out what is between two underscores at either end."""
    assert "." not in NAME
    assert NAME.startswith("__")
    assert NAME.endswith("__")
