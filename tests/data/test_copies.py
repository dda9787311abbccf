"""Copies among images: re-encoded and rescaled ones are found, others are not."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.reduced_decode import picture
from striate.data import Dataset, Split, load
from striate.data.copies import copies, groups_of_several, leak_notes, with_leak_notes
from striate.data.lazy import LazyImages
from striate.data.sources.tar_pack import pack
from striate.files import cache_folder
from striate.preprocess import Preprocess

PHOTOGRAPHS = [picture(seed, 240, 180) for seed in range(12)]
SIZE = Preprocess.resizing((96, 96), 3, "crop")


def encoded(image: Image.Image, quality: int = 75, scale: float = 1.0, form: str = "JPEG") -> Image.Image:
    """The image after it was saved and read again."""
    file = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale))).save(file, form, quality=quality)
    return Image.open(file).convert(image.mode)


def stack(images: list[Image.Image], size: Preprocess = SIZE) -> torch.Tensor:
    return torch.from_numpy(np.stack([size.conform_picture(image) for image in images]))


def lazily(images: torch.Tensor) -> LazyImages:
    return LazyImages(images.shape, lambda positions: images[torch.from_numpy(positions)])


@pytest.mark.parametrize(("quality", "scale"), [(95, 1), (50, 1), (30, 1), (75, 0.5), (85, 0.4), (75, 2)])
def test_a_photograph_encoded_again_is_found_and_no_other(quality: int, scale: float):
    images = stack([*PHOTOGRAPHS, encoded(PHOTOGRAPHS[3], quality, scale), encoded(PHOTOGRAPHS[8], quality, scale)])
    assert groups_of_several(copies([images])) == [[3, 12], [8, 13]]


def test_other_formats_and_letterboxes_do_not_matter():
    size = Preprocess.resizing((64, 64), 3)
    images = stack([*PHOTOGRAPHS, encoded(PHOTOGRAPHS[0], 60, 1, "WEBP"), encoded(PHOTOGRAPHS[1], 90, 1, "PNG")], size)
    assert groups_of_several(copies([images])) == [[0, 12], [1, 13]]


def test_a_mirrored_a_brighter_and_a_cut_photograph_are_others():
    first = PHOTOGRAPHS[0]
    others = [
        first.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        first.point(lambda value: value // 2),
        first.crop((60, 60, 180, 150)),
    ]
    assert groups_of_several(copies([stack([first, *others])])) == []


@pytest.mark.slow
def test_small_images_differ_by_less():
    digits = load("digits").train.images
    assert groups_of_several(copies([digits])) == []
    assert groups_of_several(copies([digits, digits[5:7]])) == [[5, len(digits)], [6, len(digits) + 1]]


def test_groups_span_splits_of_any_kind_and_closeups_decide():
    images = stack(PHOTOGRAPHS)
    several = torch.cat([images[2:3], images[4:5], images[2:3]])
    for parts in ([images, several], [lazily(images), lazily(several)], [images, lazily(several)]):
        assert groups_of_several(copies(parts)) == [[2, 12, 14], [4, 13]]
    again = stack([*PHOTOGRAPHS, encoded(PHOTOGRAPHS[0])])
    different = again.clone()
    different[12] = different[1]
    assert groups_of_several(copies([again], closeups=lazily(again))) == [[0, 12]]
    assert groups_of_several(copies([again], closeups=lazily(different))) == []


def test_flat_images_are_copies_only_if_they_are_equal():
    grey = [np.full((16, 16, 1), value, dtype=np.uint8) for value in (7, 8, 7, 200)]
    assert groups_of_several(copies([torch.from_numpy(np.stack(grey))])) == [[0, 2]]


def test_copies_before_a_position_need_not_be_found():
    images = stack([*PHOTOGRAPHS[:4], encoded(PHOTOGRAPHS[1]), encoded(PHOTOGRAPHS[3])])
    assert groups_of_several(copies([images], since=5)) == [[3, 5]]


# ---------------------------------------------------------------- the note


def dataset(train: torch.Tensor, **splits: torch.Tensor) -> Dataset:
    made = {name: Split(images, torch.arange(len(images)) % 2) for name, images in {"train": train, **splits}.items()}
    return Dataset("made", ("a", "b"), made["train"], made.get("val"), made.get("test"))


def test_a_note_counts_the_training_images_among_the_test_images():
    images = stack(PHOTOGRAPHS)
    leaking = dataset(images[:8], val=images[8:10], test=torch.cat([images[10:], stack([encoded(PHOTOGRAPHS[2])])]))
    (note,) = with_leak_notes(leaking).notes
    assert note.startswith("1 of 3 test images show a picture of the training images: a test set with training images")
    assert "measures nothing" in note
    both = dataset(images, val=images[:5], test=images)
    assert [note[:24] for note in leak_notes(both)] == ["5 of 5 val images show a", "12 of 12 test images sho"]


def test_there_is_no_note_where_nothing_leaks():
    images = stack(PHOTOGRAPHS)
    assert leak_notes(dataset(images[:8], val=images[8:10], test=images[10:])) == []
    assert leak_notes(dataset(torch.cat([images, images]))) == []
    assert leak_notes(dataset(images, test=torch.cat([images[:0]]))) == []


def test_what_was_found_is_kept_until_the_images_change(monkeypatch: pytest.MonkeyPatch) -> None:
    images = stack(PHOTOGRAPHS)
    leaking = dataset(images[:8], test=images[7:])
    found = with_leak_notes(leaking).notes
    assert len(found) == 1
    searches: list[int] = []

    def counted(data: Dataset) -> list[str]:
        searches.append(len(data.train))
        return leak_notes(data)

    monkeypatch.setattr("striate.data.copies.leak_notes", counted)
    assert with_leak_notes(leaking).notes == found
    assert searches == []
    assert with_leak_notes(dataset(images[:8], test=images[8:])).notes == ()
    assert searches == [8]
    (kept,) = [path for path in (cache_folder() / "copies").iterdir() if "1 of 5" in path.read_text()]
    kept.write_text(kept.read_text().replace("1 of 5", "2 of 5"))
    assert with_leak_notes(leaking).notes == found, "a damaged file is not believed"
    assert searches == [8, 8]


def test_images_in_shards_are_named(folder: Callable[..., Path], tmp_path: Path):
    pack(folder(cats=20, dogs=20), tmp_path / "shards")  # the n-th cat is the n-th dog
    loaded = load(str(tmp_path / "shards"), image_size=64)
    found = with_leak_notes(loaded).notes[len(loaded.notes) :]
    assert found
    assert all("train-000000.tar: " in note for note in found)


def test_of_images_decoded_on_demand_equal_files_are_found(
    folder: Callable[..., Path], paint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    for seed, name in enumerate(("cats", "dogs")):
        for number in range(4):
            paint(folder() / "train" / name / f"{number}.png", seed=10 * seed + number)
        paint(folder() / "test" / name / "other.png", seed=90 + seed)
    shutil.copy(folder() / "train" / "cats" / "1.png", folder() / "test" / "dogs" / "same.png")
    loaded = load(folder())
    assert loaded.test is not None
    lazy = Dataset(
        "lazy", loaded.classes,
        Split(lazily(loaded.train.images), loaded.train.labels, loaded.train.files),
        test=Split(lazily(loaded.test.images), loaded.test.labels, loaded.test.files),
    )  # fmt: skip
    for each in (loaded, lazy):
        (note,) = leak_notes(each)
        assert note.startswith("1 of 3 test images")
        assert f"{folder() / 'test' / 'dogs' / 'same.png'}, which is {folder() / 'train' / 'cats' / '1.png'}" in note
    assert leak_notes(Dataset("lazy", lazy.classes, Split(lazy.train.images, lazy.train.labels), test=lazy.test)) == []
    monkeypatch.setattr("striate.data.copies._MOST_FILES", 10)
    (note,) = leak_notes(lazy)
    assert note.startswith("of more than 10 images that are decoded on demand, val and test are not searched")


@pytest.mark.parametrize("side", [28, 64, 288])
def test_digits_are_no_copies_of_each_other_at_any_size(side: int):
    digits = load("digits", image_size=side)
    assert leak_notes(digits) == []
