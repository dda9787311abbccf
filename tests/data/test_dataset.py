"""Data sets of arrays and of PyTorch's data sets; splits; how they show themselves."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from striate.data import Dataset, Split
from striate.data.loading import as_dataset, load
from striate.errors import ArgumentError, DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
LABELS = np.arange(60) % 3


def test_arrays_are_divided_class_by_class_and_always_alike() -> None:
    one, two = Dataset.from_arrays(PIXELS, LABELS), Dataset.from_arrays(torch.from_numpy(PIXELS), LABELS.tolist())
    assert one.fingerprint() == two.fingerprint()
    assert {name: len(split) for name, split in one.splits()} == {"train": 48, "val": 6, "test": 6}
    for _, split in one.splits():
        assert len(set(split.labels.bincount().tolist())) == 1
    together = torch.cat([split.images for _, split in one.splits()])
    assert sorted(map(bytes, together.numpy())) == sorted(map(bytes, PIXELS[..., None]))
    assert one.divided
    assert "split class by class: 48 train, 6 val, 6 test images" in one.notes[0]


def test_splits_that_are_given_are_kept() -> None:
    made = Dataset.from_arrays(PIXELS[:40], LABELS[:40], test=(PIXELS[40:], LABELS[40:]), classes=("a", "b", "c"))
    assert (len(made.train), made.val, len(made.test or ())) == (40, None, 20)
    assert torch.equal(made.train.images[..., 0], torch.from_numpy(PIXELS[:40]))
    assert not made.divided
    assert made.notes == ()
    assert made.classes == ("a", "b", "c")


def test_names_are_numbered_over_all_splits() -> None:
    made = Dataset.from_arrays(PIXELS[:2], ["cow", "ant"], test=(PIXELS[2:3], ["bee"]))
    assert made.classes == ("ant", "bee", "cow")
    assert made.train.labels.tolist() == [2, 0]
    assert made.test is not None
    assert made.test.labels.tolist() == [1]


def test_digits_and_letters_are_not_mirrored_unless_asked_for() -> None:
    assert not Dataset.from_arrays(PIXELS, LABELS).mirror
    assert Dataset.from_arrays(PIXELS, LABELS, mirror=True).mirror
    assert Dataset.from_arrays(PIXELS, LABELS, ["shirt", "shoe", "bag"]).mirror


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"arrays, train: 60 images and 59 labels"):
        Dataset.from_arrays(PIXELS, LABELS[:59])
    with pytest.raises(DataError, match="two or more different classes"):
        Dataset.from_arrays(PIXELS, LABELS * 0)


def test_pytorchs_data_sets_are_taken() -> None:
    images = torch.from_numpy(PIXELS).float()[:, None] / 255
    whole = TensorDataset(images, torch.from_numpy(LABELS))
    expected = Dataset.from_arrays(PIXELS, LABELS)
    for data in (whole, DataLoader(whole, batch_size=7, shuffle=True), torch.utils.data.Subset(whole, range(60))):
        made = Dataset.from_torch(data)
        assert made.fingerprint() == expected.fingerprint()
    assert Dataset.from_torch(whole).source == "TensorDataset"
    made = Dataset.from_torch(whole, test=whole, source="mine")
    assert (made.source, len(made.train), len(made.test or ())) == ("mine", 60, 60)


def test_ambiguous_tensors_are_channels_first_as_in_pytorch() -> None:
    made = Dataset.from_torch(TensorDataset(torch.zeros(20, 3, 5, 3), torch.arange(20) % 2))
    assert made.train.images.shape[1:] == (5, 3, 3)


def test_whatever_stands_for_a_data_set_becomes_one(tmp_path) -> None:
    expected = Dataset.from_arrays(PIXELS, LABELS).fingerprint()
    assert as_dataset((PIXELS, LABELS)).fingerprint() == expected
    assert (
        as_dataset(TensorDataset(torch.from_numpy(PIXELS)[:, None], torch.from_numpy(LABELS))).fingerprint() == expected
    )
    made = as_dataset(((PIXELS[:50], LABELS[:50]), (PIXELS[50:], LABELS[50:])))
    assert (len(made.train), len(made.test or ())) == (50, 10)
    assert as_dataset(made) is made
    assert as_dataset("digits", image_size=12).train.images.shape[1:] == (12, 12, 1)
    with pytest.raises(DataError, match="does not exist"):
        as_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("data", [5, None, [PIXELS, LABELS], (PIXELS,), PIXELS])
def test_anything_else_is_refused_with_a_list_of_what_is_taken(data: object) -> None:
    with pytest.raises(
        ArgumentError, match=r"expected a name such as 'digits', a folder's path, a striate\.Dataset, a"
    ):
        as_dataset(data)


def test_a_split_converts_arrays() -> None:
    split = Split(PIXELS, LABELS.astype(np.uint8))  # type: ignore[arg-type]
    assert split.images.shape == (60, 8, 8, 1)
    assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
    assert split.labels.tolist() == LABELS.tolist()
    with pytest.raises(DataError, match=r"expected uint8 \(N, height, width, 1 or 3\)"):
        Split(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))


def test_it_shows_itself_in_one_line_and_in_a_notebook() -> None:
    data = load("digits")
    assert repr(data) == "Dataset(digits: 1,438 train, 359 test images of 8×8×1, 10 classes)"
    assert "\n" not in repr(data)
    assert len(repr(data)) < 120
    assert repr(data.train) == f"Split({len(data.train):,} images of 8×8×1)"
    page = data._repr_html_()
    assert page.count("<img ") == 10
    assert "0, 1, 2" in page
    named = Dataset.from_arrays(PIXELS, LABELS, ["<b>", "c", "d"])
    assert "<b>" not in named._repr_html_()


class _Named(torch.utils.data.TensorDataset):
    """A PyTorch data set with class names, as an ImageFolder has."""

    def __init__(self, labels: list[int], classes: list[str]):
        super().__init__(torch.zeros(len(labels), 1, 4, 4), torch.tensor(labels))
        self.classes = classes


def test_classes_of_pytorch_data_sets_are_matched_by_name() -> None:
    train = _Named([0, 1, 2], ["a", "b", "c"])
    data = Dataset.from_torch(train, val=_Named([0, 1], ["a", "c"]))
    assert data.val is not None
    assert data.val.labels.tolist() == [0, 2]
    with pytest.raises(DataError, match="none of the classes: d"):
        Dataset.from_torch(train, val=_Named([0, 1], ["a", "d"]))


def test_class_names_are_found_in_loaders_and_subsets() -> None:
    whole = _Named([0, 1, 2, 1], ["a", "b", "c"])
    part = torch.utils.data.Subset(whole, [0, 1, 3])
    for data in (part, DataLoader(part), DataLoader(whole)):
        assert Dataset.from_torch(data).classes == ("a", "b", "c")
        assert as_dataset(data, classes=["x", "y", "z"]).classes == ("a", "b", "c"), "its own come first"


def test_splits_agree_on_numbers_or_names() -> None:
    x = np.zeros((12, 4, 4), np.uint8)
    with pytest.raises(DataError, match="some splits are numbers and of others names"):
        Dataset.from_arrays(x, [str(n) for n in range(12)], test=(x, np.arange(12)))
    with pytest.raises(DataError, match="no training images"):
        Dataset.from_arrays(x[:0], [])
    with pytest.raises(DataError, match=r"Dataset\.from_arrays takes names"):
        Split(x[:2], ["a", "b"])  # type: ignore[arg-type]
