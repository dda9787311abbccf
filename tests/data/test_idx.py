"""IDX files: what is read, and what every kind of damage is called."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data import idx
from striate.errors import DataError

ARRAY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 4) + ARRAY.tobytes()


def test_raw_and_gzipped_files_are_read_whatever_their_names(tmp_path: Path) -> None:
    for name, content in {"a": CONTENT, "b.gz": gzip.compress(CONTENT), "c": gzip.compress(CONTENT)}.items():
        (tmp_path / name).write_bytes(content)
        assert np.array_equal(idx.read(tmp_path / name, 3).numpy(), ARRAY)


def test_labels_have_one_dimension(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([7, 0, 9]))
    assert idx.read(tmp_path / "labels", 1).tolist() == [7, 0, 9]


def test_a_checksum_is_of_the_decompressed_content(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT, mtime=1))
    values = idx.read(path, 3, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert np.array_equal(values.numpy(), ARRAY)


GZIPPED = gzip.compress(CONTENT, mtime=0)
DAMAGED = {
    "cut-in-check": (GZIPPED[:-5], "it is truncated: its gzip stream ends too early"),
    "cut-in-stream": (GZIPPED[:15], "it is truncated: its gzip stream ends too early"),
    "broken-stream": (GZIPPED[:12] + b"\xff\xff\xff" + GZIPPED[15:], "its gzip stream is broken"),
    "web-page": (b"<html>Not found</html>", "it is not gzip, though its name says so"),
    "empty-file": (b"", "it is not gzip, though its name says so"),
    "other-type": (gzip.compress(b"\0\0\x09\3" + CONTENT[4:]), "with the bytes 00000803, found 00000903"),
    "other-dimensions": (gzip.compress(b"\0\0\x08\1" + CONTENT[4:]), "with the bytes 00000803, found 00000801"),
    "empty-gzip": (gzip.compress(b""), "with the bytes 00000803, found none"),
    "cut-header": (gzip.compress(CONTENT[:10]), "it is truncated: 10 bytes, less than its header of 16"),
    "cut-values": (gzip.compress(CONTENT[:-5]), r"truncated: expected 40 bytes for the shape \(2, 3, 4\), found 35"),
    "too-long": (gzip.compress(CONTENT + b"!"), "it is longer than its header says: expected 40 bytes"),
    "other-values": (gzip.compress(CONTENT[:-1] + b"!"), r"checksum is wrong: expected SHA-256 \w{64} .*, got \w{64}"),
}


@pytest.mark.parametrize(("content", "complaint"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_named(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        idx.read(path, 3, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert str(path) in str(caught.value)
    assert "Remove it and fetch it again" in str(caught.value)


def test_a_raw_file_cut_off_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(CONTENT[:20])
    with pytest.raises(DataError, match="it is truncated: expected 40 bytes"):
        idx.read(tmp_path / "raw", 3)


def test_a_gzip_bomb_is_not_unfolded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(CONTENT + bytes(50_000_000)))
    with pytest.raises(DataError, match=r"longer than its header says: expected 40 bytes .* found 41"):
        idx.read(path, 3, size=len(CONTENT))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read .*gone: No such file"):
        idx.read(tmp_path / "gone", 3)


def test_images_and_labels_must_be_as_many() -> None:
    images = torch.zeros(3, 4, 5, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2], dtype=torch.uint8)
    split = idx.paired(images, labels, Path("images"), Path("labels"))
    assert split.images.shape == (3, 4, 5, 1)
    assert split.labels.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="images has 3 images but labels has 2 labels"):
        idx.paired(images, labels[:2], Path("images"), Path("labels"))
