"""Tar shards as data sets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data import load
from striate.data.images.decode import decode
from striate.data.sources.tar_samples import NAME, ShardInfo
from striate.errors import BadFilesError, DataError

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
        "passed over 1 file: 1 .txt",
        "the shards name no classes: their numbers serve as names",
        "split class by class: 32 train, 4 val, 4 test images; each file's name decides, so it is the same next time",
        "the classes are digits or letters: images are not mirrored for variation",
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
        f"{one}: x.png": "no label beside it: neither .cls nor .json",
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
    with pytest.raises(DataError, match=r"a\.tar: x\.jpg: no label beside it: neither \.cls nor \.json\.$"):
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
    with pytest.raises(DataError, match="no image to train on of owl"):
        load(tmp_path / "a.tar")


def test_progress_counts_up_to_all_shards(shard: MakeShard, samples: Callable, tmp_path: Path) -> None:
    for number in range(70):
        shard(f"a-{number:02}.tar", samples(1, 0, 1) if number == 0 else {})
    told: list[tuple[str, int, int]] = []
    load(tmp_path, progress=lambda *entry: told.append(entry))
    reading = [(done, total) for what, done, total in told if what == "reading shards"]
    assert reading[-1] == (70, 70)
    assert [done for done, _ in reading] == sorted({done for done, _ in reading})
