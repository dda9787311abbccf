"""Where an image lies."""

import os
from pathlib import Path

import pytest

from striate.data.images.decode import UndecodableError
from striate.data.images.image_ref import ImageRef


def test_a_whole_file_is_its_path_and_a_part_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(b"0123456789")
    whole, part = ImageRef(path), ImageRef(path, 3, 4, "cats/1.jpg")
    assert (whole.source, whole.read(), whole.label) == (path, b"0123456789", str(path))
    assert (part.source, part.read(), part.label) == (b"3456", b"3456", f"{path}: cats/1.jpg")
    assert ImageRef(path, 4).read() == b"456789"


def test_what_can_t_be_read_is_undecodable(tmp_path: Path) -> None:
    path = tmp_path / "shard.tar"
    path.write_bytes(b"0123456789")
    with pytest.raises(UndecodableError, match="truncated"):
        ImageRef(path, 8, 3).read()
    with pytest.raises(UndecodableError, match=r"gone\.tar can't be used: can't be read \(No such file or directory\)"):
        _ = ImageRef(tmp_path / "gone.tar", 0, 3).source


def test_the_stamp_changes_with_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1_000_000_007))
    stamp = ImageRef(path).stamp
    assert stamp == (str(path), 5, 1_000_000_007, 0, None)
    monkeypatch.chdir(tmp_path)
    assert ImageRef(Path("a.png")).stamp == stamp  # whatever the working directory
    assert ImageRef(path, 1, 2).stamp == (str(path), 5, 1_000_000_007, 1, 2)
    os.utime(path, ns=(0, 1_000_000_008))
    assert ImageRef(path).stamp != stamp
    path.unlink()
    assert ImageRef(path).stamp == (str(path), -2, 0, 0, None)
    path.write_bytes(b"123456")
    os.utime(path, ns=(0, 1_000_000_007))
    assert ImageRef(path).stamp != stamp
