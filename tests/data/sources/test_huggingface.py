"""Data sets of Hugging Face, saved on the spot. Skipped where the library is not installed."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.data import load
from striate.data.images.decode import decode
from striate.errors import ArgumentError, BadFilesError, DataError

datasets = pytest.importorskip("datasets", reason="needs pip install 'striate[huggingface]'")

Png = Callable[..., bytes]
Save = Callable[..., str]

PETS = datasets.ClassLabel(names=["dog", "cat"])


@pytest.fixture
def part(png: Png) -> Callable[..., Any]:
    """`part(10, start=5)`: ten rows, numbered from 5, whose classes alternate; `label` says of what type they are."""

    def part(count: int, start: int = 0, label: Any = PETS, values: Any = None, name: str = "label") -> Any:
        images = [{"bytes": png(start + number), "path": None} for number in range(count)]
        columns = {"image": images, name: values or [number % 2 for number in range(count)], "id": list(range(count))}
        features = {"image": datasets.Image(), name: label, "id": datasets.Value("int32")}
        return datasets.Dataset.from_dict(columns, features=datasets.Features(features))

    return part


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """`save(train=…, test=…)` or `save(data)`: the source of a data set on disk."""

    def save(data: Any = None, **parts: Any) -> str:
        (datasets.DatasetDict(parts) if parts else data).save_to_disk(tmp_path / "saved")
        return f"hf:{tmp_path}/saved"

    return save


def test_splits_classes_and_pixels_are_those_that_were_saved(part: Callable, save: Save, png: Png) -> None:
    source = save(train=part(10), validation=part(4, start=10), test=part(2, start=14))
    dataset = load(source)
    assert (dataset.source, dataset.classes, dataset.mirror) == (source, ("dog", "cat"), True)
    assert {name: len(split) for name, split in dataset.splits()} == {"train": 10, "val": 4, "test": 2}
    for (_, split), start in zip(dataset.splits(), (0, 10, 14), strict=True):
        rows = [int(file.rpartition(" ")[2]) for file in split.files]
        assert rows == [*range(0, len(split), 2), *range(1, len(split), 2)]
        assert split.labels.tolist() == [row % 2 for row in rows]
        for image, row in zip(split.images, rows, strict=True):
            assert np.array_equal(image.numpy(), decode(png(start + row)))


def test_the_files_of_a_large_data_set_are_read_in_their_order(part: Callable, tmp_path: Path, png: Png) -> None:
    part(30).save_to_disk(tmp_path / "saved", num_shards=4)
    assert len(list((tmp_path / "saved").glob("*.arrow"))) == 4
    dataset = load(f"hf:{tmp_path}/saved")
    assert sum(len(split) for _, split in dataset.splits()) == 30
    expected = {decode(png(number)).tobytes(): number % 2 for number in range(30)}
    for _, split in dataset.splits():
        for image, label in zip(split.images, split.labels, strict=True):
            assert expected.pop(image.numpy().tobytes()) == label
    assert not expected
    assert any("split class by class" in note for note in dataset.notes)


def test_rows_that_were_picked_out_are_the_ones(part: Callable, save: Save, png: Png) -> None:
    dataset = load(save(part(20).select([7, 4, 9, 2, 11])))
    images = {image.numpy().tobytes() for _, split in dataset.splits() for image in split.images}
    assert images == {decode(png(number)).tobytes() for number in (7, 4, 9, 2, 11)}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("own_cache")
def test_images_that_are_files_of_their_own_are_read_there(tmp_path: Path, png: Png) -> None:
    for number in range(12):
        path = tmp_path / "pets" / ("train", "test")[number // 8] / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    dataset = load(f"hf:{tmp_path}/pets")
    assert dataset.classes == ("cat", "dog")
    assert {name: len(split) for name, split in dataset.splits()} == {"train": 8, "test": 4}
    for _, split in dataset.splits():
        for image, label, file in zip(split.images, split.labels, split.files, strict=True):
            assert Path(file).parent.name == dataset.classes[label]
            assert np.array_equal(image.numpy(), decode(file))


@pytest.mark.parametrize(
    ("label", "values", "classes"),
    [
        (datasets.Value("string"), ["owl", "cat"] * 5, ("cat", "owl")),
        (datasets.Value("int64"), [3, 10] * 5, ("3", "10")),
        (datasets.Value("uint8"), [0, 1] * 5, ("0", "1")),
    ],
)
def test_labels_without_names_are_names_or_numbers(
    part: Callable, save: Save, label: Any, values: list, classes: tuple[str, ...]
) -> None:
    dataset = load(save(part(10, label=label, values=values)))
    assert dataset.classes == classes
    assert dataset.train.labels.bincount().tolist() == [3, 3]


def test_rows_without_labels_are_left_out_and_told_of(part: Callable, save: Save) -> None:
    source = save(train=part(40), test=part(6, values=[-1] * 6))
    dataset = load(source)
    assert "left out 6 of the 6 rows of test: they have no label" in dataset.notes
    assert {name: len(split) for name, split in dataset.splits()} == {"train": 32, "val": 4, "test": 4}


def test_a_data_set_without_any_label_is_refused(part: Callable, save: Save) -> None:
    with pytest.raises(DataError, match="no labelled training image"):
        load(save(part(6, label=datasets.Value("string"), values=[None] * 6)))


def test_rows_that_can_not_be_used_are_named(part: Callable, save: Save, png: Png) -> None:
    images = [{"bytes": png(number), "path": None} for number in range(6)]
    images[2], images[3]["bytes"] = None, png(3)[:-60]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    table = {"image": images, "label": ["cat", "owl"] * 3}
    source = save(datasets.Dataset.from_dict(table, features=features))
    with pytest.raises(BadFilesError) as caught:
        load(source)
    assert caught.value.problems == {f"{source}: row 2": "no image"}
    dataset = load(source, skip_bad=True)
    cut = f"{source.removeprefix('hf:')}/data-00000-of-00001.arrow: row 3"
    assert dataset.skipped == {f"{source}: row 2": "no image", cut: "truncated"}
    assert sum(len(split) for _, split in dataset.splits()) == 4


def test_parts_of_other_names_are_told_of(part: Callable, save: Save) -> None:
    dataset = load(save(train=part(4), extra=part(4), validation=part(2)))
    assert "ignored parts other than train, val and test: extra" in dataset.notes
    assert {name: len(split) for name, split in dataset.splits()} == {"train": 4, "val": 2}


def test_a_data_set_without_train_is_refused(part: Callable, save: Save) -> None:
    with pytest.raises(DataError, match="has test, extra but no train"):
        load(save(test=part(2), extra=part(2)))


def test_two_parts_for_one_split_are_refused(part: Callable, save: Save) -> None:
    with pytest.raises(DataError, match="has both valid and validation"):
        load(save(train=part(2), valid=part(2), validation=part(2)))


def test_parts_must_have_the_same_classes(part: Callable, save: Save) -> None:
    with pytest.raises(DataError, match="the columns of train and test differ, or their classes do"):
        load(save(train=part(2), test=part(2, label=datasets.ClassLabel(names=["cat", "dog"]))))


def test_one_of_several_columns_of_classes_is_chosen(part: Callable, save: Save) -> None:
    coarse = datasets.ClassLabel(names=["pet", "other"])
    data = part(10, name="fine").add_column("coarse", [0, 0, 1, 1, 0] * 2, feature=coarse)
    source = save(data)
    with pytest.raises(ArgumentError, match=r"several columns of classes, fine, coarse: choose one, as in hf:.*#fine$"):
        load(source)
    assert load(f"{source}#coarse").classes == ("pet", "other")
    assert load(f"{source}#fine").classes == ("dog", "cat")
    assert load(f"{source}#id", skip_bad=True).classes == tuple("0123456789")
    for column in ("image", "none"):
        with pytest.raises(
            ArgumentError, match=rf"no column {column} of classes.* image \(Image\), fine \(ClassLabel\), id \(int32\)"
        ):
            load(f"{source}#{column}")


def test_the_usual_name_is_chosen_among_several(part: Callable, save: Save) -> None:
    assert load(save(part(10).add_column("coarse", [0, 1] * 5, feature=PETS))).classes == ("dog", "cat")


def test_a_table_without_images_or_labels_is_told_what_it_has(part: Callable, save: Save) -> None:
    with pytest.raises(
        DataError, match=r"has no column of images\. Its columns are label \(ClassLabel\), id \(int32\)\.$"
    ):
        load(save(part(4).remove_columns("image")))


def test_a_table_without_labels_is_told_how_to_name_one(part: Callable, save: Save) -> None:
    with pytest.raises(
        DataError, match=r"has no column of classes, and none called label: name one as in hf:.*#COLUMN"
    ):
        load(save(part(4).remove_columns("label")))


def test_a_folder_of_parquet_files_is_a_data_set_too(
    part: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "pets").mkdir()
    part(8).to_parquet(tmp_path / "pets" / "train-00000.parquet")
    part(4).to_parquet(tmp_path / "pets" / "test-00000.parquet")
    dataset = load(f"hf:{tmp_path}/pets")
    assert {name: len(split) for name, split in dataset.splits()} == {"train": 8, "test": 4}
    assert dataset.classes == ("dog", "cat")


def test_the_library_is_quiet_while_it_fetches_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*arguments: object, **options: object) -> None:
        state.append((logging.getLogger("huggingface_hub").isEnabledFor(logging.WARNING), *bars()))
        raise ConnectionError

    def bars() -> tuple[bool, bool]:
        return datasets.are_progress_bars_disabled(), huggingface_hub.utils.are_progress_bars_disabled()

    import huggingface_hub.utils

    state: list[tuple[bool, bool, bool]] = []
    told: list[tuple[str, int, int]] = []
    before = (logging.getLogger("huggingface_hub").level, bars())
    monkeypatch.setattr(datasets, "load_dataset", fetch)
    for progress in (None, lambda *entry: told.append(entry)):
        with pytest.raises(DataError, match="ConnectionError"):
            load("hf:owner/name", progress=progress)
    assert state == [(False, False, False), (False, True, True)]
    assert (logging.getLogger("huggingface_hub").level, bars()) == before
    assert told == [("fetching hf:owner/name", 0, 0)]


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"^hf:owner/name can't be fetched: Couldn't reach .*save_to_disk\('FOLDER'\)"):
        load("hf:owner/name")


def test_names_and_their_configurations_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def missing(name: str, config: str | None, **options: object) -> None:
        asked.append((name, config))
        raise datasets.exceptions.DatasetNotFoundError("no such data set")

    monkeypatch.setattr(datasets, "load_dataset", missing)
    for source in ("hf:mnist", "hf:ylecun/mnist", "hf:owner/name/config", "hf:owner/name/config#fine"):
        with pytest.raises(ArgumentError, match=r"no data set of this name on the Hugging Face Hub"):
            load(source)
    assert asked == [("mnist", None), ("ylecun/mnist", None), ("owner/name", "config"), ("owner/name", "config")]


@pytest.mark.parametrize("name", ["", "./none", "/no/such/folder", "~/no/such/folder"])
def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"there is no folder '{name}'"):
        load(f"hf:{name}")


def test_whatever_the_library_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*arguments: object, **options: object) -> None:
        raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['a', 'b']")

    monkeypatch.setattr(datasets, "load_dataset", choose)
    with pytest.raises(DataError, match=r"can't be loaded: Config name is missing\. Please pick one .*'b'\]\.$"):
        load("hf:owner/name")


def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "__version__", "3.6.0")
    with pytest.raises(ArgumentError, match=r"from version 4 on, and 3\.6\.0 is installed"):
        load("hf:owner/name")


def test_a_compressed_file_is_refused(part: Callable, save: Save) -> None:
    import pyarrow

    source = save(part(8))
    (path,) = Path(source.removeprefix("hf:")).glob("*.arrow")
    with pyarrow.memory_map(str(path)) as file:
        table = pyarrow.ipc.open_stream(file).read_all()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    copy = path.with_suffix(".new")
    with pyarrow.ipc.new_stream(copy, table.schema, options=options) as writer:
        writer.write_table(table)
    copy.replace(path)
    with pytest.raises(DataError, match="is compressed, so that no image in it can be read by itself"):
        load(source)


def test_a_damaged_file_is_a_plain_error(part: Callable, save: Save) -> None:
    source = save(part(8))
    (path,) = Path(source.removeprefix("hf:")).glob("*.arrow")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match="saved"):
        load(source)


def test_the_library_is_imported_for_such_data_sets_only() -> None:
    code = "import sys, striate.data; striate.data.load('digits'); print('datasets' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "False\n"
