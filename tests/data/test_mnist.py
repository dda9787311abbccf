"""MNIST and Fashion-MNIST: the real files where this machine has them, and files of their kind where it has not."""

import gzip
import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from striate.data import load, places
from striate.data.mnist import SOURCES, IdxFile
from striate.errors import DataError

REAL = os.environ.get("STRIATE_DATA")
needs_files = pytest.mark.skipif(not REAL, reason="needs the real files: set STRIATE_DATA to the folder around them")


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
    monkeypatch.setattr(places, "SYSTEM_FOLDERS", ())
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
