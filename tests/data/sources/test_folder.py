"""Folders of images as data sets."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import load
from striate.data.images.decode import decode
from striate.data.sources.folder import Layout, load_folder, read_layout
from striate.errors import BadFilesError, DataError
from striate.preprocess import Preprocess

Folder = Callable[..., Path]
Paint = Callable[..., Path]


def test_images_labels_and_files_belong_together(folder: Folder) -> None:
    root = folder(cats=12, dogs=7)
    dataset = load(root)
    assert dataset.source == str(root)
    assert dataset.classes == ("cats", "dogs")
    seen = []
    for _, split in dataset.splits():
        assert split.images.shape == (len(split), 7, 9, 3)
        assert list(split.files) == sorted(split.files)
        for image, label, file in zip(split.images, split.labels, split.files, strict=True):
            assert Path(file).parent.name == dataset.classes[label]
            assert np.array_equal(image.numpy(), decode(file))
        seen += split.files
    assert sorted(seen) == sorted(str(path) for path in root.rglob("*.png"))


def test_the_split_is_by_class_and_said_aloud(folder: Folder) -> None:
    dataset = load(folder(cats=30, dogs=20))
    assert [split.labels.bincount().tolist() for _, split in dataset.splits()] == [[24, 16], [3, 2], [3, 2]]
    assert any("split class by class: 40 train, 5 val, 5 test images" in note for note in dataset.notes)


def test_the_split_moves_with_the_folder(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=20, dogs=20)
    before = [[Path(file).relative_to(root) for file in split.files] for _, split in load(root).splits()]
    moved = root.rename(tmp_path / "moved")
    assert before == [[Path(file).relative_to(moved) for file in split.files] for _, split in load(moved).splits()]


@pytest.mark.parametrize("usual", [True, False])
def test_python_collects_no_garbage_while_files_are_listed(
    usual: bool, folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def listing(root: Path) -> Layout:
        seen.append(gc.isenabled())
        return read_layout(root)

    monkeypatch.setattr("striate.data.sources.folder.read_layout", listing)
    try:
        (gc.enable if usual else gc.disable)()
        load(folder(cats=3, dogs=2))
        seen.append(gc.isenabled())
        with pytest.raises(DataError, match="does not exist"):
            load_folder(str(tmp_path / "nowhere"))
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [False, usual, False, usual]


def test_splits_of_ones_own_are_kept(folder: Folder) -> None:
    folder("train", a=3, b=2)
    dataset = load(folder("valid", a=1, b=2))
    assert (len(dataset.train), dataset.val and len(dataset.val), dataset.test) == (5, 3, None)
    assert not any("split class by class" in note for note in dataset.notes)


def test_five_images_are_enough(folder: Folder) -> None:
    dataset = load(folder(cats=3, dogs=2))
    assert set(dataset.train.labels.tolist()) == {0, 1}
    assert dataset.val is None
    assert any("too few images to hold one out for testing: dogs" in note for note in dataset.notes)
    assert load(folder(birds=1, cats=3, dogs=2)).train.labels.unique().tolist() == [0, 1, 2]


def test_no_split_is_empty(folder: Folder) -> None:
    dataset = load(folder(cats=1, dogs=1))
    assert [name for name, _ in dataset.splits()] == ["train"]
    assert dataset.held_out is None


def test_grey_folders_have_one_channel_and_mixed_ones_three(folder: Folder, paint: Paint) -> None:
    root = folder(cats=2, dogs=2)
    for path in root.rglob("*.png"):
        paint(path, mode="L")
    dataset = load(root)
    assert dataset.train.images.shape[3] == 1
    assert "all images are grey: 1 channel" in dataset.notes
    paint(root / "cats" / "colour.png")
    dataset = load(root)
    assert dataset.train.images.shape[3] == 3
    assert "4 of 5 images are grey: all are converted to 3 channels" in dataset.notes
    assert load(root, channels=1).train.images.shape[3] == 1


def test_sizes_that_differ_are_brought_to_one(folder: Folder, paint: Paint) -> None:
    root = folder(cats=3, dogs=3)
    paint(root / "cats" / "wide.png", size=(40, 20))
    dataset = load(root)
    assert dataset.train.images.shape[1:] == (64, 64, 3)
    assert any("from 9×7 to 40×20 pixels: resized to 64×64 by letterbox" in note for note in dataset.notes)
    dataset = load(root, image_size=(10, 30), fit="crop", channels=3)
    assert dataset.fit == "crop"
    position = dataset.train.files.index(str(root / "cats" / "wide.png"))
    expected = Preprocess(10, 30, 3, "crop", (0.0,) * 3, (1.0,) * 3).conform(decode(root / "cats" / "wide.png"))
    assert np.array_equal(dataset.train.images[position].numpy(), expected)


def test_large_images_are_brought_to_64_pixels(folder: Folder, paint: Paint) -> None:
    root = folder(cats=2, dogs=2)
    for path in root.rglob("*.png"):
        paint(path, size=(225, 10))
    assert load(root).train.images.shape[1:] == (64, 64, 3)
    assert any("the images are 225×10 pixels: resized to 64×64" in note for note in load(root).notes)
    for path in root.rglob("*.png"):
        paint(path, size=(224, 10))
    assert load(root).train.images.shape[1:] == (10, 224, 3)


@pytest.mark.parametrize("size", [None, 8])
def test_all_bad_files_are_named_together(size: int | None, folder: Folder) -> None:
    root = folder(cats=8, dogs=8)
    whole = (root / "cats" / "000.png").read_bytes()
    (root / "cats" / "cut.png").write_bytes(whole[:-60])
    (root / "dogs" / "text.jpg").write_text("no image")
    (root / "dogs" / "zero.png").touch()
    channels = None if size is None else 3
    with pytest.raises(BadFilesError, match="3 files can't be used") as caught:
        load(root, image_size=size, channels=channels)
    assert caught.value.problems == {
        str(root / "cats" / "cut.png"): "truncated",
        str(root / "dogs" / "text.jpg"): "not an image",
        str(root / "dogs" / "zero.png"): "empty file",
    }
    dataset = load(root, image_size=size, channels=channels, skip_bad=True)
    assert dataset.skipped == caught.value.problems
    assert sum(len(split) for _, split in dataset.splits()) == 16
    assert "left out 3 files that can't be decoded" in dataset.notes
    for _, split in dataset.splits():
        for image, file in zip(split.images, split.files, strict=True):
            expected = (
                decode(file)
                if size is None
                else Preprocess(8, 8, 3, mean=(0.0,) * 3, std=(1.0,) * 3).conform(decode(file))
            )
            assert np.array_equal(image.numpy(), expected)


def test_leaving_out_bad_files_moves_no_good_one(folder: Folder) -> None:
    root = folder(cats=20, dogs=20)
    before = {file: name for name, split in load(root).splits() for file in split.files}
    (root / "cats" / "007.png").write_text("damaged")
    after = {file: name for name, split in load(root, skip_bad=True).splits() for file in split.files}
    del before[str(root / "cats" / "007.png")]
    assert after == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_bad_files_that_can_be_left_out(folder: Folder) -> None:
    """Whoever opened them would wait for ever, or read without end."""
    root = folder(cats=4, dogs=4)
    os.mkfifo(root / "cats" / "pipe.png")
    (root / "dogs" / "endless.jpg").symlink_to("/dev/zero")
    with pytest.raises(BadFilesError) as caught:
        load(root, image_size=8)
    assert set(caught.value.problems.values()) == {"can't be read (not a regular file)"}
    assert len(load(root, image_size=8, skip_bad=True).skipped) == 2


@pytest.mark.parametrize(("white", "dark"), [(4095, True), (65535, False)])
def test_lost_precision_is_said(white: int, dark: bool, tmp_path: Path) -> None:
    """Of 12 bits in 16, 16 shades of grey are left."""
    for number in range(8):
        for kind in ("cats", "dogs"):
            (tmp_path / kind).mkdir(exist_ok=True)
            values = np.random.default_rng(number).integers(0, white + 1, (9, 9)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / kind / f"{number}.png")
    notes = load(tmp_path).notes
    assert "16 of 16 images have more than 8 bits a channel: they are reduced to 8" in notes
    found = [note for note in notes if "is brighter than 16 of 255: if fewer bits than the files have" in note]
    assert len(found) == dark


def test_a_class_of_bad_files_alone_is_an_error_even_when_skipping(folder: Folder) -> None:
    root = folder(cats=3, dogs=2)
    for path in (root / "dogs").iterdir():
        path.write_text("damaged")
    with pytest.raises(DataError, match="no training image of dogs can be decoded"):
        load(root, skip_bad=True)


def test_a_folder_of_bad_files_alone_is_told_so(folder: Folder) -> None:
    root = folder(cats=1, dogs=1)
    for path in root.rglob("*.png"):
        path.write_text("damaged")
    with pytest.raises(BadFilesError, match="2 files"):
        load(root)
    with pytest.raises(DataError, match="no training image of cats, dogs can be decoded"):
        load(root, skip_bad=True)


@pytest.mark.parametrize(
    ("classes", "mirror"), [(("0", "1", "10"), False), (("a", "B", "7"), False), (("a", "cat"), True)]
)
def test_digits_and_letters_are_not_mirrored(classes: tuple[str, ...], mirror: bool, folder: Folder) -> None:
    dataset = load(folder(**dict.fromkeys(classes, 1)))
    assert dataset.mirror is mirror
    assert any("does not mirror" in note for note in dataset.notes) is not mirror


def test_progress_counts_up_to_all_files(folder: Folder) -> None:
    told: list[tuple[str, int, int]] = []
    load(folder(cats=40, dogs=30), progress=lambda *entry: told.append(entry))
    finished = [what for what, done, total in told if done == total]
    assert finished[0] == "reading headers"
    assert sorted(finished[1:]) == ["decoding test", "decoding train", "decoding val"]
    assert [done for what, done, _ in told if what == "reading headers"] == [32, 64, 70]


def test_photographs_are_upright_whatever_their_orientation(folder: Folder, tmp_path: Path) -> None:
    root = folder(cats=1, dogs=1)
    upright = Image.fromarray(np.random.default_rng(5).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(root / "dogs" / "000.png", exif=exif)
    upright.save(root / "cats" / "000.png")
    images = load(root).train.images
    assert images.shape == (2, 9, 7, 3)
    assert torch.equal(images[0], images[1])


def test_a_folder_that_may_not_be_read_is_an_error(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(top: Path, *, onerror: Callable[[OSError], None], **options: bool) -> Iterator[tuple]:
        onerror(PermissionError(13, "Permission denied", str(top)))
        yield from ()

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(DataError, match=r"can't read .*cats: Permission denied"):
        load(folder(cats=1, dogs=1))


def test_too_little_memory_is_a_plain_error(folder: Folder) -> None:
    with pytest.raises(DataError, match="GiB of memory: choose a smaller size"):
        load(folder(cats=2, dogs=2), image_size=2**27)
