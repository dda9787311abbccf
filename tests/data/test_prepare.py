"""One way from a file to the pixels a network sees."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from striate.data.decode import decode
from striate.data.entries import Entry
from striate.data.prepare import prepare, prepare_all
from striate.preprocess import FITS, Fit, Preprocess
from striate.resizing import Picture, pixels_of


def preprocess_of(height: int, width: int, channels: int = 3, fit: Fit = "letterbox") -> Preprocess:
    return Preprocess(height, width, channels, fit, (0.0,) * channels, (1.0,) * channels)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour gradients with sharp circles and lines: a JPEG of 1200×800."""
    random = np.random.default_rng(1)
    picture = Image.fromarray(random.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize(
        (1200, 800), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(picture)
    for _ in range(30):
        x, y, side = (int(each) for each in random.integers((0, 0, 5), (1200, 800, 200)))
        colour = tuple(int(each) for each in random.integers(0, 256, 3))
        draw.ellipse([x, y, x + side, y + side // 2], fill=colour)
        draw.line([x, y, y, x], fill=colour, width=3)
    path = tmp_path_factory.mktemp("jpeg") / "photograph.jpg"
    picture.save(path, quality=90)
    return path


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(32, 32), (64, 48), (100, 224), (224, 224)])
def test_reduced_decoding_hardly_changes_what_the_network_sees(
    size: tuple[int, int], fit: Fit, photograph: Path
) -> None:
    wanted = preprocess_of(*size, fit=fit)
    found, full = prepare(photograph, wanted).astype(int), wanted.conform(decode(photograph)).astype(int)
    assert found.shape == (*size, 3)
    assert np.abs(found - full).mean() < 0.7
    assert np.percentile(np.abs(found - full), 99) <= 6


@pytest.mark.parametrize("fit", FITS)
def test_decoding_gives_at_least_twice_what_is_wanted(
    fit: Fit, photograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def conform(self: Preprocess, picture: Picture) -> np.ndarray:
        seen.append(pixels_of(picture).shape)
        return really_conform(self, picture)

    really_conform = Preprocess.conform_picture
    monkeypatch.setattr(Preprocess, "conform_picture", conform)
    for side in (20, 40, 60, 99, 130, 300, 2000):
        wanted = preprocess_of(side, side, fit=fit)
        prepare(photograph, wanted)
        height, width, _ = seen[-1]
        wide, high = wanted.scaled(1200, 800)
        assert (height >= 2 * high and width >= 2 * wide) or (height, width) == (800, 1200)
        if side <= 130:
            assert (height, width) < (800, 1200)


def test_all_other_images_are_what_decoding_in_full_gives(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wanted = preprocess_of(5, 4)
    assert np.array_equal(prepare(tmp_path / "a.png", wanted), wanted.conform(pixels))
    assert np.array_equal(prepare((tmp_path / "a.png").read_bytes(), wanted), wanted.conform(pixels))


def test_bad_images_leave_their_place_as_it_was(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").touch()
    places = np.full((3, 5, 4, 3), 9, dtype=np.uint8)
    entries = [Entry(tmp_path / name) for name in ("a.png", "b.png", "gone.png")]
    wanted = preprocess_of(5, 4)
    assert prepare_all(entries, wanted, places) == {1: "empty file", 2: "can't be read (No such file or directory)"}
    assert np.array_equal(places[0], wanted.conform(pixels))
    assert (places[1:] == 9).all()
