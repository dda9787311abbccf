"""Where the files of a named data set are looked for, and in which order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from striate import files
from striate.data.sources import mnist
from striate.errors import DataError

FILES = ("images", "labels")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: folders own/, system/, other/ and cache/, and no network."""
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "SYSTEM_FOLDERS", (tmp_path / "system", tmp_path / "other"))
    return tmp_path


def put(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return [folder / name for name in names]


def located() -> list[Path]:
    checks: dict[str, Callable[[Path], object]] = dict.fromkeys(FILES, Path.read_text)
    return mnist.locate("pets", checks, ["http://127.0.0.1:9/", "http://127.0.0.1:9/mirror/"])


def test_the_first_place_that_has_all_files_wins(here: Path) -> None:
    cached = put(here / "cache" / "datasets" / "pets", *FILES)
    assert located() == cached
    assert located() == cached
    other = put(here / "other" / "pets", *FILES)
    assert located() == other
    system = put(here / "system" / "pets", *FILES)
    assert located() == system
    put(here / "own" / "pets", "images")
    assert located() == system
    assert located() == system
    own = put(here / "own" / "pets", *FILES)
    assert located() == own


def test_files_may_be_raw_or_gzipped(here: Path) -> None:
    assert locate_after(here, "images.gz", "labels") == ["images.gz", "labels"]
    assert locate_after(here, "labels.gz") == ["images.gz", "labels"]


def locate_after(here: Path, *names: str) -> list[str]:
    put(here / "own" / "pets", *names)
    return [path.name for path in located()]


def test_an_empty_variable_is_not_set(here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_DATA", "")
    monkeypatch.setenv("STRIATE_CACHE", "")
    monkeypatch.setattr(files.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "home" / name))
    assert files.cache_folder() == tmp_path / "home" / "striate"
    cached = put(tmp_path / "home" / "striate" / "datasets" / "pets", *FILES)
    assert located() == cached


def test_what_is_nowhere_is_told_with_all_that_was_tried(here: Path) -> None:
    put(here / "own" / "pets", "labels.gz")
    with pytest.raises(DataError) as caught:
        located()
    message = str(caught.value)
    assert f"$STRIATE_DATA: {here / 'own' / 'pets'} lacks images" in message
    assert f"system: there is no {here / 'system' / 'pets'}" in message
    assert f"cache: there is no {here / 'cache' / 'datasets' / 'pets'}" in message
    assert "download: http://127.0.0.1:9/images.gz: " in message
    assert "http://127.0.0.1:9/mirror/images.gz: " in message
    assert "put images, labels (each with or without .gz) into a folder named pets and set STRIATE_DATA" in message
    assert not (here / "cache").exists()


def test_an_unset_variable_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIATE_DATA")
    with pytest.raises(DataError, match=r"\$STRIATE_DATA: not set"):
        located()


def test_only_what_the_cache_lacks_is_downloaded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(here / "cache" / "datasets" / "pets", "labels.gz")
    asked = []

    def download(url: str, path: Path, *, verify: Callable[[Path], object], report: Callable[[int, int], None]) -> None:
        asked.append(url)
        if "mirror" not in url:
            raise DataError("out of order.")
        path.write_text("downloaded")
        verify(path)
        report(3, 10)

    monkeypatch.setattr(mnist, "download", download)
    told = []
    checks: dict[str, Callable[[Path], object]] = dict.fromkeys(FILES, Path.read_text)
    found = mnist.locate("pets", checks, ["http://a/", "http://a/mirror/"], lambda *entry: told.append(entry))
    assert [path.name for path in found] == ["images.gz", "labels.gz"]
    assert asked == ["http://a/images.gz", "http://a/mirror/images.gz"]
    assert told == [("downloading pets/images.gz", 3, 10)]
