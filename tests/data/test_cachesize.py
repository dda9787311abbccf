"""Sizes as people write them, and the limit where nobody has written one."""

import shutil
from pathlib import Path

import pytest

from striate.data.cachesize import bytes_of, readable, usual
from striate.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("8GB", 8 * 10**9),
        ("1.5 gb", 1_500_000_000),
        ("500MB", 5 * 10**8),
        ("2TiB", 2**41),
        ("64 KiB", 65536),
        ("12", 12),
        ("7B", 7),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8 bananas", "8G", "1e9", "8GBGB", "1.2.3MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="write it as in 8GB, 500MB or 0"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1234567, "1.2 MB"),
        (20 * 10**9, "20 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_are_written(size: int, text: str) -> None:
    assert readable(size) == text


def test_the_usual_limit_leaves_half_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10**9
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    folder = tmp_path / "not" / "yet"
    assert usual(folder) == 500_000_000
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "pixels").write_bytes(bytes(1000))
    assert usual(folder) == 500_000_500
    free = 10**12
    assert usual(folder) == 20 * 10**9
    monkeypatch.setenv("STRIATE_CACHE_SIZE", "3GB")
    assert usual(folder) == 3 * 10**9
