"""The index of tar shards in the cache: what it holds is what the shards hold, as long as they have not changed."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data.sources import tar_samples
from striate.data.sources.tar_pack import pack
from striate.data.sources.tar_samples import Shard, indexed
from striate.data.sources.tar_shards import read_shards

Read = Callable[[list[Path]], list[Shard]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads shards, and counts in `read.shards` how many; none is too small for the index."""
    monkeypatch.setattr(tar_samples, "_FEW_BYTES", 0)

    def reading(paths: list[Path]) -> list[Shard]:
        reading.shards += len(paths)  # type: ignore[attr-defined]
        return read_shards(paths)

    reading.shards = 0  # type: ignore[attr-defined]
    return reading


def aged(paths: list[Path]) -> list[Path]:
    for path in paths:
        os.utime(path, (time.time() - 3600,) * 2)
    return paths


@pytest.fixture
def shards(shard: Callable[..., Path], png: Callable[..., bytes]) -> list[Path]:
    """Shards of others: numbers and names as labels, odd names, a sample without a label, and other files."""
    one = {"0.png": png(0), "0.cls": b"3", "ö/1.png": png(1), "ö/1.cls": b"0", "2.png": png(2), "3.txt": b"text"}
    two = {"a\x1bb.png": png(3), "a\x1bb.cls": b"cat", "bad\udcff.png": png(4), "bad\udcff.cls": b"dog"}
    return aged([shard("one.tar", one), shard("two.tar", two), shard("empty.tar", {"3.txt": b"text"})])


def test_what_is_kept_is_what_was_read(shards: list[Path], read: Read) -> None:
    expected = read_shards(shards)
    assert [len(each.samples.labels) for each in expected] == [2, 2, 0]
    assert indexed(shards, None, read) == expected
    assert indexed(shards, None, read) == expected
    assert read.shards == 3, "the second time nothing was read"


def test_packed_shards_keep_their_names_and_classes(folder: Callable[..., Path], tmp_path: Path, read: Read) -> None:
    root = folder("train", cats=6, dogs=6)
    (root / "train" / "cats" / "000.png").rename(root / "train" / "cats" / "x.y.png")
    pack(root, tmp_path / "out", shard_size=20_000)
    paths = aged(sorted((tmp_path / "out").iterdir()))
    expected = indexed(paths, None, read)
    assert indexed(paths, None, read) == expected == read_shards(paths)
    assert read.shards == len(paths) > 1
    assert "train/cats/x.y.png" in {key for each in expected for key in each.samples.keys}


@pytest.mark.parametrize("change", ["content", "order", "none"])
def test_what_has_changed_is_read_again(
    shards: list[Path], read: Read, change: str, shard: Callable[..., Path], png: Callable[..., bytes]
) -> None:
    indexed(shards, None, read)
    if change == "content":
        shard("one.tar", {"9.png": png(9), "9.cls": b"3"})
    if change == "order":
        shards = shards[::-1]
    assert indexed(shards, None, read) == read_shards(shards)
    assert read.shards == (3 if change == "none" else 6)


def test_nothing_is_kept_without_a_cache_and_of_few_bytes(
    shards: list[Path], read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        indexed(shards, 0, read)
    assert read.shards == 6
    monkeypatch.setattr(tar_samples, "_FEW_BYTES", 10**6)
    indexed(shards, None, read)
    assert not list(Path(os.environ["STRIATE_CACHE"]).rglob("about.json"))
