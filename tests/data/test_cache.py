"""The decoded copy of a folder: how much of the disk it may take."""

import shutil
from pathlib import Path

import pytest

from striate.data.cache import default_size


def test_the_usual_limit_leaves_half_of_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10**9
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    folder = tmp_path / "not" / "yet"
    assert default_size(folder) == 500_000_000
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "pixels").write_bytes(bytes(1000))
    assert default_size(folder) == 500_000_500
    free = 10**12
    assert default_size(folder) == 20 * 10**9
    monkeypatch.setenv("STRIATE_CACHE_SIZE", "3GB")
    assert default_size(folder) == 3 * 10**9
