"""Survey of a folder: sides and colours of some images, from their headers."""

from pathlib import Path

import pytest
from PIL import Image

from striate.errors import DataError
from striate.runs.defaults import survey


def folder(path: Path, size: tuple[int, int], mode: str = "RGB", count: int = 12) -> Path:
    """Two classes of images of a size, (width, height)."""
    for name in ("ant", "bee"):
        (path / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new(mode, size).save(path / name / f"{mode}{number}.png")
    return path


def test_sides_and_colours_are_those_of_the_headers(tmp_path: Path):
    found = survey(folder(tmp_path, (90, 70)))
    assert (found.side, found.grey) == (70, 0.0)
    assert 16 <= found.images <= 24, "of the training part"
    folder(tmp_path, (40, 50), "L", count=40)
    mixed = survey(tmp_path)
    assert mixed.side == 40
    assert 0.6 < mixed.grey < 0.9


def test_only_folders_are_looked_into(tmp_path: Path):
    assert survey("digits") is None
    assert survey("hf:someone/something") is None
    assert survey(tmp_path / "nothing") is None
    with pytest.raises(DataError, match="no class folders"):
        survey(tmp_path)


def test_files_that_are_no_images_do_not_count(tmp_path: Path):
    folder(tmp_path, (30, 30), count=3)
    for name in ("ant", "bee"):
        for path in (tmp_path / name).iterdir():
            path.write_bytes(b"no image")
    assert survey(tmp_path) is None
