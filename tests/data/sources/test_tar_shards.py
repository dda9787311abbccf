"""Tar shards as data sets."""

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.data import load
from striate.data.images.decode import decode
from striate.data.sources.tar_samples import NAME, ShardInfo
from striate.data.sources.tar_shards import are_shards, by_split, expand, find_shards
from striate.errors import ArgumentError, BadFilesError, DataError

MakeShard = Callable[..., Path]
Png = Callable[..., bytes]


@pytest.fixture
def samples(png: Png) -> Callable[..., dict[str, bytes]]:
    """`samples(3, "a", "b", start=5)`: three images of class "a" and then three of "b", numbered from 5."""

    def samples(count: int, *labels: object, start: int = 0) -> dict[str, bytes]:
        members = {}
        for number in range(count * len(labels)):
            members[f"{start + number:04}.png"] = png(start + number)
            members[f"{start + number:04}.cls"] = str(labels[number // count]).encode()
        return members

    return samples


def test_images_labels_and_names_belong_together(shard: MakeShard, samples: Callable, png: Png, tmp_path: Path) -> None:
    shard("shards-0.tar", samples(10, 3, 7))
    shard("shards-1.tar", samples(10, 7, 10, start=20))
    dataset = load(f"{tmp_path}/shards-{{0..1}}.tar")
    assert dataset.source == f"{tmp_path}/shards-{{0..1}}.tar"
    assert dataset.classes == ("3", "7", "10")
    seen = {}
    for _, split in dataset.splits():
        for image, label, file in zip(split.images, split.labels, split.files, strict=True):
            seen[file] = (dataset.classes[label], image.numpy())
    assert len(seen) == 40
    for number in range(40):
        label, image = seen[f"{tmp_path}/shards-{number // 20}.tar: {number:04}.png"]
        assert label == ("3", "7", "7", "10")[number // 10]
        assert np.array_equal(image, decode(png(number)))


def test_what_is_decided_is_said(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    shard("a.tar", samples(20, 0, 1) | {"0000.txt": b"a caption"})
    dataset = load(tmp_path / "a.tar")
    assert dataset.notes == (
        "ignored 1 file: 1 .txt",
        "the shards contain no class names: the numbers serve as names",
        "split class by class: 32 train, 4 val, 4 test images; file names alone decide, so the split is reproducible",
        "the classes are digits or letters: augmentation does not mirror images",
    )
    assert dataset.mirror is False
    assert dataset.divided


def test_names_are_classes_and_may_be_mirrored(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    shard("a.tar", samples(2, "owl", "cat"))
    dataset = load(tmp_path / "a.tar")
    assert (dataset.classes, dataset.mirror) == (("cat", "owl"), True)
    assert not any("serve as names" in note for note in dataset.notes)


def test_splits_named_by_their_shards_are_kept(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    for name, count in (("train-0", 4), ("train-1", 3), ("val-0", 2), ("test-0", 1)):
        shard(f"{name}.tar", samples(count, 0, 1))
    expected = {"train": 14, "val": 4, "test": 2}
    for source in (tmp_path, f"{tmp_path}/{{train-{{0,1}},{{val,test}}-0}}.tar"):
        dataset = load(source)
        assert {name: len(split) for name, split in dataset.splits()} == expected
        assert not any("split class by class" in note for note in dataset.notes)
        assert not dataset.divided


def test_the_same_names_in_two_shards_are_two_images(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    shard("a-0.tar", samples(10, 0, 1))
    shard("a-1.tar", samples(10, 0, 1))
    dataset = load(tmp_path)
    assert sum(len(split) for _, split in dataset.splits()) == 40


def test_a_split_does_not_change_with_the_order_of_the_shards_or_their_place(
    shard: MakeShard, samples: Callable, tmp_path: Path
) -> None:
    shard("a/0.tar", samples(15, 0, 1))
    shard("a/1.tar", samples(15, 0, 1, start=30))
    before = load(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    after = load(f"{tmp_path}/b/{{1,0}}.tar")
    for (_, one), (_, other) in zip(before.splits(), after.splits(), strict=True):
        assert [file.replace("/a/", "/b/") for file in one.files] == list(other.files)
        assert torch.equal(one.images, other.images)


def test_bad_samples_are_named_together_or_left_out(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    one = shard("a-0.tar", samples(6, 0, 1) | {"x.png": b"", "y.cls": b"1"})
    two = shard("a-1.tar", samples(6, 0, 1, start=12) | {"z.png": b"no image", "z.cls": b"1"})
    with pytest.raises(BadFilesError, match="2 files") as caught:
        load(tmp_path)
    problems = {
        f"{one}: x.png": "no label: neither a .cls nor a .json file",
        f"{one}: y": "no image of this name: .cls",
    }
    assert caught.value.problems == problems
    dataset = load(tmp_path, skip_bad=True)
    assert dataset.skipped == problems | {f"{two}: z.png": "not an image"}
    assert sum(len(split) for _, split in dataset.splits()) == 24
    assert "left out 2 samples without image or label" in dataset.notes
    assert "left out 1 file that can't be decoded" in dataset.notes


def test_a_cut_image_is_named_by_its_shard(shard: MakeShard, samples: Callable, png: Png, tmp_path: Path) -> None:
    members = samples(3, 0, 1)
    path = shard("a.tar", members | {"0004.png": members["0004.png"][:-60]})
    with pytest.raises(BadFilesError) as caught:
        load(path)
    assert caught.value.problems == {f"{path}: 0004.png": "truncated"}


def test_all_broken_shards_are_named_together(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    for number in range(3):
        path = shard(f"a-{number}.tar", samples(3, 0, 1))
        if number != 1:
            path.write_bytes(path.read_bytes()[: 1000 + number])
    with pytest.raises(DataError, match=r"a-0\.tar is cut off at byte 1,000.*\n.*a-2\.tar is cut off at byte 1,002"):
        load(tmp_path)


def test_shards_of_another_convention_are_told_what_is_expected(shard: MakeShard, tmp_path: Path) -> None:
    shard("a.tar", {"x.npy": b"", "y.npy": b"", "x.txt": b""})
    with pytest.raises(DataError, match=r"Expected pairs like 0001\.jpg and 0001\.cls.* Found \.npy, \.txt\.$"):
        load(tmp_path / "a.tar")
    shard("a.tar", {"x.jpg": b"", "x.txt": b""})
    with pytest.raises(DataError, match=r"a\.tar: x\.jpg: no label: neither a \.cls nor a \.json file\.$"):
        load(tmp_path / "a.tar", skip_bad=True)
    shard("a.tar", {})
    with pytest.raises(DataError, match=r"Found nothing\.$"):
        load(tmp_path / "a.tar")


def packed(samples: dict[str, bytes], *classes: str, split: str = "train", shards: int = 1) -> dict[str, bytes]:
    return {NAME: ShardInfo(classes, split, shards).to_bytes(), **samples}


def test_packed_shards_name_their_classes_and_what_is_missing(
    shard: MakeShard, samples: Callable, tmp_path: Path
) -> None:
    shard("a-0.tar", packed(samples(6, 0, 1), "dog", "cat", shards=3))
    shard("a-2.tar", packed(samples(6, 0, 1), "dog", "cat", shards=3))
    dataset = load(tmp_path)
    assert dataset.classes == ("dog", "cat")
    assert "train has 2 of its 3 shards: the images in the others are left out" in dataset.notes


def test_shards_that_were_not_packed_together_are_refused(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    shard("a-0.tar", packed(samples(6, 0, 1), "dog", "cat"))
    shard("a-1.tar", packed(samples(6, 0, 1), "cat", "dog"))
    with pytest.raises(DataError, match=r"a-0\.tar and .*a-1\.tar were not packed together"):
        load(tmp_path)
    shard("a-1.tar", samples(6, 0, 1))
    with pytest.raises(DataError, match=r"a-0\.tar and .*a-1\.tar were not packed together"):
        load(tmp_path)


def test_a_class_without_images_to_train_on_is_an_error(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    shard("a.tar", packed(samples(6, 0, 1), "dog", "cat", "owl"))
    with pytest.raises(DataError, match="no training image of owl"):
        load(tmp_path / "a.tar")


def test_progress_counts_up_to_all_shards(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    for number in range(70):
        shard(f"a-{number:02}.tar", samples(1, 0, 1) if number == 0 else {})
    told: list[tuple[str, int, int]] = []
    load(tmp_path, progress=lambda *entry: told.append(entry))
    reading = [(done, total) for what, done, total in told if what == "reading shards"]
    assert reading[-1] == (70, 70)
    assert [done for done, _ in reading] == sorted({done for done, _ in reading})


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for name in ("train-00.tar", "train-01.tar", "val-00.tar", "notes.txt", ".hidden.tar"):
        (tmp_path / name).touch()
    return tmp_path


def test_shards_are_told_by_name_and_folders_by_what_they_hold(shards: Path, tmp_path: Path) -> None:
    for name in ("a.tar", "a-{0..3}.tar", "{a,b}", "a.tar.gz", "a.tgz", "https://x.org/a.tar"):
        assert are_shards(name)
    for name in ("digits", "tar", "pets", "a.tar/cats", "a.zip"):
        assert not are_shards(name)
    assert are_shards(str(shards))
    (shards / "cats").mkdir()
    assert not are_shards(str(shards))
    (tmp_path / "pets.tar" / "cats").mkdir(parents=True)
    assert not are_shards(str(tmp_path / "pets.tar"))


def test_a_folder_gives_its_shards_by_name_and_a_pattern_in_its_order(shards: Path) -> None:
    assert [path.name for path in find_shards(str(shards))] == ["train-00.tar", "train-01.tar", "val-00.tar"]
    named = find_shards(f"{shards}/{{val-00,train-{{00..01}}}}.tar")
    assert [path.name for path in named] == ["val-00.tar", "train-00.tar", "train-01.tar"]


def test_a_file_that_is_there_is_meant_whatever_its_name(shards: Path) -> None:
    (shards / "{odd}.tar").touch()
    assert find_shards(str(shards / "{odd}.tar")) == [shards / "{odd}.tar"]


def test_all_missing_shards_are_named_and_what_is_there_instead(shards: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_shards(f"{shards}/train-{{00..03}}.tar")
    assert str(caught.value) == (
        f"2 of 4 shards are missing: {shards}/train-02.tar, {shards}/train-03.tar. "
        f"{shards} holds train-00.tar … val-00.tar (3)."
    )
    with pytest.raises(DataError, match=r"100 of 100 shards are missing: .* and 90 more\. There is no folder none\.$"):
        find_shards("none/{00..99}.tar")
    (shards / "empty").mkdir()
    with pytest.raises(DataError, match=r"a shard is missing: .*1\.tar\. .*empty holds none\.$"):
        find_shards(str(shards / "empty" / "1.tar"))


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("https://x.org/a-{0..3}.tar", "is not on this machine: copy the shards here first"),
        ("pipe:cat a.tar", "is not on this machine"),
        ("a-{0..3}.tar.gz", r"names a-0\.tar\.gz, which is no \.tar file\. Unpack compressed shards first"),
        ("{cats,dogs}", r"names cats, which is no \.tar file\. Shards are named x\.tar"),
        ("a-{3..0}.tar", "runs backwards"),
    ],
)
def test_what_names_no_shards_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint):
        find_shards(source)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["a-0.tar", "a-1.tar"], {"all": [0, 1]}),
        (["train-0.tar", "train-1.tar"], {"all": [0, 1]}),
        (["test-0.tar"], {"all": [0]}),
        (["val-0.tar", "train-0.tar", "val-1.tar"], {"train": [1], "val": [0, 2]}),
        (["x_TEST.tar", "imagenet1k-validation-0.tar", "training.tar"], {"train": [2], "val": [1], "test": [0]}),
        (["train/0.tar", "valid/0.tar"], {"train": [0], "val": [1]}),
        (["test/train-0.tar", "test/val-0.tar"], {"train": [0], "val": [1]}),
        (["trainval-0.tar"], {"all": [0]}),
    ],
)  # fmt: skip
def test_splits_are_read_from_names(names: list[str], splits: dict[str, list[int]]) -> None:
    assert by_split([Path("/data") / name for name in names], [None] * len(names)) == splits


def test_what_is_written_in_a_shard_counts_more_than_its_name() -> None:
    assert by_split([Path("val-0.tar"), Path("b.tar")], ["train", "test"]) == {"train": [0], "test": [1]}


def test_shards_without_a_split_among_others_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"no split is known of /d/extra-0\.tar, while other shards belong to train: name"
    ):
        by_split([Path("/d/train-0.tar"), Path("/d/extra-0.tar")], [None, None])
    with pytest.raises(DataError, match="shards of val and test but none of train"):
        by_split([Path("/d/val-0.tar"), Path("/d/test-0.tar")], [None, None])


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("one.tar", ["one.tar"]),
        ("s-{000..002}.tar", ["s-000.tar", "s-001.tar", "s-002.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..011}", ["008", "009", "010", "011"]),
        ("{0..1}", ["0", "1"]),
        ("{5..5}.tar", ["5.tar"]),
        ("{train,val}-{0..1}", ["train-0", "train-1", "val-0", "val-1"]),
        ("{train-{0..1},val-0}.tar", ["train-0.tar", "train-1.tar", "val-0.tar"]),
        ("a{,b}", ["a", "ab"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
    ],
)
def test_what_a_pattern_stands_for(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("s-{9..0}.tar", r"runs backwards; write \{0\.\.9\}"),
        ("s-{0..9.tar", "opens a brace that it does not close"),
        ("s-0..9}.tar", "closes a brace that it does not open"),
        ("}{0..9}", "closes a brace that it does not open"),
        ("s-{a..c}.tar", r"\{a\.\.c\} is neither a range"),
        ("s-{-1..3}.tar", "neither a range"),
        ("s-{}.tar", "neither a range"),
        ("s-{7}.tar", "neither a range"),
        ("{a,b,a}.tar", r"names a\.tar twice"),
        ("{0..99999999999}.tar", "more than 100,000 names"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint) as caught:
        expand(pattern)
    assert f"'{pattern}'" in str(caught.value)


ranges = st.tuples(st.integers(0, 120), st.integers(0, 12), st.integers(1, 5)).map(
    lambda drawn: (f"{{{drawn[0]:0{drawn[2]}}..{drawn[0] + drawn[1]:0{drawn[2]}}}}", drawn)
)


@given(st.lists(ranges, min_size=1, max_size=2))
def test_ranges_multiply_and_keep_their_zeros(drawn: list) -> None:
    pattern = "/".join(text for text, _ in drawn)
    counted = [[f"{start + step:0{width}}" for step in range(more + 1)] for _, (start, more, width) in drawn]
    assert expand(pattern) == ["/".join(each) for each in itertools.product(*counted)]


alternatives = st.recursive(
    st.text("ab7-", min_size=1, max_size=3) | ranges.map(lambda drawn: drawn[0]),
    lambda inner: st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"{{{','.join(parts)}}}"),
    max_leaves=6,
)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="compares with bash")
def test_bash_agrees() -> None:
    @given(st.lists(alternatives, min_size=1, max_size=3).map("x".join))
    def agrees(pattern: str) -> None:
        bash.stdin.write(f"echo {pattern}\n")
        bash.stdin.flush()
        names = bash.stdout.readline().split()
        if len(set(names)) == len(names):
            assert expand(pattern) == names
        else:
            with pytest.raises(ArgumentError, match="twice"):
                expand(pattern)

    with subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bash:
        try:
            agrees()
        finally:
            bash.stdin.close()
