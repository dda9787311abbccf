"""Which folders are classes, which are splits, and what is said when they don't fit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from striate.data.sources.folder import read_layout
from striate.errors import DataError

Folder = Callable[..., Path]

UMLAUT = ("u\u0308", "\u00fc")  # ü in two forms that look the same: letter and dots, as macOS has it, and in one


def listed(root: Path) -> dict[str, dict[str, list[str]]]:
    return {
        split: {name: [Path(path).relative_to(root).as_posix() for path in files] for name, files in classes.items()}
        for split, classes in read_layout(root).splits.items()
    }


def test_one_folder_a_class_sorted_as_plain_strings(folder: Folder) -> None:
    root = folder(**{"10": 1, "2": 1, "b": 1, "A": 1})
    assert read_layout(root).classes == ("10", "2", "A", "b")
    assert listed(root)["all"]["2"] == ["2/000.png"]


def test_images_are_found_at_any_depth(folder: Folder, paint: Callable[..., Path]) -> None:
    root = folder(cats=1, dogs=1)
    paint(root / "cats" / "old" / "1999" / "x.JPEG")
    assert listed(root)["all"]["cats"] == ["cats/000.png", "cats/old/1999/x.JPEG"]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_splits_of_ones_own(val: str, folder: Folder) -> None:
    folder("train", a=2, b=2)
    folder("test", a=1, b=1)
    assert list(listed(folder(val, a=1, b=1))) == ["train", "val", "test"]


def test_train_alone_is_a_layer_around_the_classes(folder: Folder) -> None:
    assert listed(folder("train", a=1, b=1)) == {"all": {"a": ["train/a/000.png"], "b": ["train/b/000.png"]}}


def test_a_class_may_be_called_train(folder: Folder) -> None:
    assert read_layout(folder(bus=1, train=1, tram=1)).classes == ("bus", "train", "tram")


def test_other_folders_beside_the_splits_are_passed_over(folder: Folder) -> None:
    folder("train", a=1, b=1)
    root = folder("test", a=1, b=1)
    (root / "docs").mkdir()
    assert read_layout(root).notes == ("ignored folders next to train: docs",)


def test_hidden_and_other_files_are_passed_over(folder: Folder, paint: Callable[..., Path]) -> None:
    root = folder(cats=1, dogs=1)
    paint(root / ".thumbnails" / "x.png")
    paint(root / "cats" / ".hidden" / "x.png")
    paint(root / "cats" / ".x.png")
    paint(root / "sheet.png")
    paint(root / "__MACOSX" / "cats" / "._0.png")
    (root / "cats" / "labels.csv").touch()
    (root / "cats" / "README").touch()
    layout = read_layout(root)
    assert layout.classes == ("cats", "dogs")
    assert len(layout.splits["all"]["cats"]) == 1
    assert dict(layout.others) == {".csv": 1, "without a suffix": 1, ".png outside the class folders": 1}


def test_links_are_followed_and_circles_are_not(folder: Folder, tmp_path: Path, paint: Callable[..., Path]) -> None:
    root = folder(cats=1, dogs=1)
    paint(tmp_path / "elsewhere" / "x.png")
    (root / "cats" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "cats" / "circle").symlink_to(root / "cats")
    (root / "cats" / "all").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(root / "cats")
    (root / "birds").symlink_to(tmp_path / "elsewhere")
    found = listed(root)["all"]
    assert found["cats"] == ["cats/000.png", "cats/more/x.png"]
    assert "birds/x.png" in found["birds"]


def test_names_in_any_alphabet_and_either_unicode_form(folder: Folder) -> None:
    root = folder("train", **dict.fromkeys(["鳥", UMLAUT[0], "сова"], 1))
    folder("val", **dict.fromkeys(["鳥", UMLAUT[1], "сова"], 1))
    assert read_layout(root).classes == (UMLAUT[1], "сова", "鳥")


@pytest.mark.parametrize(
    ("val", "complaint"),
    [
        ({"a": 1, "b": 1, "x": 1, "y": 1}, "val has classes that train lacks: x, y"),
        ({"a": 1, "B": 1}, "val has classes that train lacks: B"),
    ],
)
def test_classes_are_matched_by_name(val: dict[str, int], complaint: str, folder: Folder) -> None:
    folder("train", a=1, b=1)
    with pytest.raises(DataError, match=complaint):
        read_layout(folder("val", **val))


@pytest.mark.parametrize("empty", [True, False], ids=["an empty folder", "no folder"])
def test_a_class_that_val_lacks_keeps_its_number(empty: bool, folder: Folder) -> None:
    folder("train", a=1, b=1, c=1)
    root = folder("val", a=1, c=2)
    if empty:
        (root / "val" / "b").mkdir()
    layout = read_layout(root)
    assert [len(files) for files in layout.splits["val"].values()] == [1, 0, 2]
    assert tuple(layout.splits["val"]) == layout.classes
    assert layout.notes == ("val has no images of b: how well these are told is not measured on it",)


def test_train_with_class_folders_is_a_split_whatever_lies_beside_it(folder: Folder) -> None:
    folder("train", a=1, b=1)
    layout = read_layout(folder("sample", a=1, b=1))
    assert layout.classes == ("a", "b")
    assert layout.notes == ("ignored folders next to train: sample",)


def test_images_of_test_without_labels_are_left_out(folder: Folder, paint: Callable[..., Path]) -> None:
    root = folder("train", a=1, b=1)
    for place, count in (("test", "1 image"), ("test/images", "2 images")):
        paint(root / place / "1.png")
        layout = read_layout(root)
        assert list(layout.splits) == ["all"]
        assert layout.classes == ("a", "b")
        assert layout.notes == (f"left out {count} of {root / 'test'}: without class folders they have no labels",)


@pytest.mark.parametrize("under", ["pets", "pets/images", "pets/pets"])
def test_folders_around_the_data_set_are_looked_into(under: str, folder: Folder) -> None:
    root = folder(f"{under}/train", a=1, b=1)
    folder(f"{under}/val", a=1, b=1)
    layout = read_layout(root)
    assert (layout.root, list(layout.splits), layout.classes) == (root / under, ["train", "val"], ("a", "b"))
    assert layout.notes == (f"the images of {root} are those in {root / under}",)


def test_a_split_in_a_folder_of_its_name_is_found(folder: Folder) -> None:
    folder("train/train", a=1, b=1)
    assert list(listed(folder("val/val", a=1, b=1))) == ["train", "val"]


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"])
def test_folders_of_systems_are_no_classes(name: str, folder: Folder, paint: Callable[..., Path]) -> None:
    root = folder(cats=1, dogs=1)
    paint(root / name / "cats" / "0.png")
    paint(root / "cats" / name / "thumbnail.png")
    layout = read_layout(root)
    assert layout.classes == ("cats", "dogs")
    assert len(layout.splits["all"]["cats"]) == 1
    assert layout.notes == (f"passed over {name}: not the user's own",)
    assert dict(layout.others) == {f"in {name}": 1}


def test_an_empty_class_is_named(folder: Folder) -> None:
    root = folder(cats=1, dogs=1)
    (root / "birds").mkdir()
    (root / "birds" / "x.txt").touch()
    with pytest.raises(DataError, match=r"no images in .*birds \(only 1 of other kinds\)"):
        read_layout(root)


def test_what_is_no_data_set_is_told_what_is(tmp_path: Path, paint: Callable[..., Path]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    paint(tmp_path / "flat" / "1.png")
    paint(tmp_path / "single" / "cats" / "1.png")
    paint(tmp_path / "no-train" / "val" / "a" / "1.png")
    paint(tmp_path / "no-train" / "test" / "a" / "1.png")
    paint(tmp_path / "flat-splits" / "train" / "1.png")
    paint(tmp_path / "flat-splits" / "val" / "1.png")
    for name, complaint in {
        "gone": "does not exist",
        "file": "is a file, not a folder",
        "empty": "has no class folders",
        "flat": "has no class folders",
        "single": "has one class, cats,",
        "no-train": "has test and val but no train",
        "flat-splits": "train has no class folders",
    }.items():
        with pytest.raises(DataError, match=complaint) as caught:
            read_layout(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "Expected one folder of images for each class" in str(caught.value)


def test_two_folders_for_one_split_are_refused(folder: Folder) -> None:
    folder("train", a=1, b=1)
    folder("val", a=1, b=1)
    with pytest.raises(DataError, match=r"has both (val and validation|validation and val): keep one"):
        read_layout(folder("validation", a=1, b=1))


@pytest.mark.parametrize(
    ("names", "complaint"),
    [(["a\nb", "c"], r"can't be printed: 'a\\nb'"), ([UMLAUT[0], UMLAUT[1]], "two folders that look the same")],
)
def test_class_names_that_would_confuse_are_refused(names: list[str], complaint: str, folder: Folder) -> None:
    with pytest.raises(DataError, match=complaint):
        read_layout(folder(**dict.fromkeys(names, 1)))
