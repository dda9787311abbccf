"""MNIST and Fashion-MNIST: the real files where this machine has them, and files of their kind where it has not."""

import gzip
import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data import load
from striate.data.sources import mnist
from striate.data.sources.mnist import SOURCES, IdxFile
from striate.errors import DataError

REAL = os.environ.get("STRIATE_DATA")
needs_files = pytest.mark.skipif(not REAL, reason="needs the real files: set STRIATE_DATA to the folder around them")


@pytest.mark.slow
@needs_files
def test_mnist() -> None:
    dataset = load("mnist")
    assert dataset.source == "mnist"
    assert dataset.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert dataset.train.images.shape == (60000, 28, 28, 1)
    # The counts in LeCun's training and test files.
    assert dataset.train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert dataset.test is not None
    assert dataset.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert dataset.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert float(dataset.train.images.double().mean() / 255) == pytest.approx(0.1307, abs=5e-5)
    assert dataset.val is None
    assert dataset.mirror is False


@needs_files
def test_fashion_mnist() -> None:
    dataset = load("fashion-mnist")
    assert dataset.classes[0] == "T-shirt/top"
    assert dataset.classes[9] == "Ankle boot"
    assert dataset.train.labels.bincount().tolist() == [6000] * 10
    assert dataset.test is not None
    assert dataset.test.images.shape == (10000, 28, 28, 1)
    assert dataset.test.labels.bincount().tolist() == [1000] * 10
    assert dataset.train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert float(dataset.train.images.double().mean() / 255) == pytest.approx(0.2860, abs=5e-5)
    assert dataset.mirror is True


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with four files of MNIST's kind, 6 and 3 images, which "mnist" stands for meanwhile."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    files = []
    for file, count in zip(SOURCES["mnist"].files, (6, 6, 3, 3), strict=True):
        shape = (count, 2, 2) if "images" in file.name else (count,)
        data = np.arange(np.prod(shape), dtype=np.uint8) % 10
        content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + data.tobytes()
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(content))
        files.append(IdxFile(file.name, len(content), hashlib.sha256(content).hexdigest()))
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], files=tuple(files), addresses=()))
    monkeypatch.setattr(mnist, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return folder


def test_four_files_become_two_splits(small: Path) -> None:
    dataset = load("mnist")
    assert dataset.train.images.shape == (6, 2, 2, 1)
    assert dataset.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert dataset.test is not None
    assert dataset.test.images[0].flatten().tolist() == [0, 1, 2, 3]


def test_a_damaged_file_is_an_error_and_not_passed_over(small: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "datasets" / "mnist"
    cache.parent.mkdir(parents=True)
    small.rename(cache)
    small.mkdir()
    for path in cache.iterdir():
        (small / path.name).write_bytes(path.read_bytes())
    damaged = small / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(gzip.compress(gzip.decompress(damaged.read_bytes())[:-1] + b"\7"))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is damaged: its checksum is wrong") as caught:
        load("mnist")
    assert str(small) in str(caught.value)


def test_other_files_under_the_right_names_are_refused(small: Path) -> None:
    (small / "train-images-idx3-ubyte.gz").write_bytes((small / "t10k-images-idx3-ubyte.gz").read_bytes())
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged: its checksum is wrong"):
        load("mnist")


def test_the_table_has_what_the_files_are() -> None:
    for source in SOURCES.values():
        assert [file.size for file in source.files] == [47040016, 60008, 7840016, 10008]
        assert len({file.sha256 for file in source.files}) == 4
        assert len(source.classes) == 10
        assert all(address.startswith("http") and address.endswith("/") for address in source.addresses)


ARRAY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 4) + ARRAY.tobytes()


def test_raw_and_gzipped_files_are_read_whatever_their_names(tmp_path: Path) -> None:
    for name, content in {"a": CONTENT, "b.gz": gzip.compress(CONTENT), "c": gzip.compress(CONTENT)}.items():
        (tmp_path / name).write_bytes(content)
        assert np.array_equal(mnist.read(tmp_path / name, 3).numpy(), ARRAY)


def test_labels_have_one_dimension(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes([7, 0, 9]))
    assert mnist.read(tmp_path / "labels", 1).tolist() == [7, 0, 9]


def test_a_checksum_is_of_the_decompressed_content(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT, mtime=1))
    values = mnist.read(path, 3, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
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
        mnist.read(path, 3, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    assert str(path) in str(caught.value)
    assert "Remove it and fetch it again" in str(caught.value)


def test_a_raw_file_cut_off_is_truncated(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(CONTENT[:20])
    with pytest.raises(DataError, match="it is truncated: expected 40 bytes"):
        mnist.read(tmp_path / "raw", 3)


def test_a_gzip_bomb_is_not_unfolded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(CONTENT + bytes(50_000_000)))
    with pytest.raises(DataError, match=r"longer than its header says: expected 40 bytes .* found 41"):
        mnist.read(path, 3, size=len(CONTENT))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read .*gone: No such file"):
        mnist.read(tmp_path / "gone", 3)


def test_images_and_labels_must_be_as_many() -> None:
    images = torch.zeros(3, 4, 5, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2], dtype=torch.uint8)
    split = mnist.paired(images, labels, Path("images"), Path("labels"))
    assert split.images.shape == (3, 4, 5, 1)
    assert split.labels.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="images has 3 images but labels has 2 labels"):
        mnist.paired(images, labels[:2], Path("images"), Path("labels"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_idx_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "images")
    with pytest.raises(DataError, match=r"can't read .*images: not a regular file\."):
        mnist.read(tmp_path / "images", 3)
