"""Arrays and tensors as images and labels, in every layout and type; refusals say what is taken."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from striate.data.arrays import is_torch_data, label_batch, pixel_batch, torch_samples
from striate.errors import ArgumentError, DataError

SHAPES = st.tuples(st.integers(1, 4), st.integers(4, 6), st.integers(4, 6), st.sampled_from([1, 3]))


@pytest.mark.slow
@given(arrays.arrays(np.uint8, SHAPES))
def test_every_layout_gives_the_same_pixels(pixels: np.ndarray) -> None:
    expected = torch.from_numpy(pixels)
    first = pixels.transpose(0, 3, 1, 2)
    for images in (
        pixels,
        first,
        torch.from_numpy(first.copy()),
        list(pixels),
        [torch.from_numpy(each) for each in first],
    ):
        assert torch.equal(pixel_batch(images), expected)
    if pixels.shape[3] == 1:
        assert torch.equal(pixel_batch(pixels[..., 0]), expected)


@pytest.mark.slow
@given(arrays.arrays(np.uint8, SHAPES))
def test_every_type_gives_the_same_pixels(pixels: np.ndarray) -> None:
    expected = torch.from_numpy(pixels)
    for kind in (np.int16, np.int64, np.int32):
        assert torch.equal(pixel_batch(pixels.astype(kind)), expected)
    for floating in (np.float32, np.float64):
        assert torch.equal(pixel_batch(pixels.astype(floating) / 255), expected)
    assert torch.equal(pixel_batch(pixels > 100), torch.from_numpy(np.where(pixels > 100, 255, 0).astype(np.uint8)))


def test_pil_images_are_taken() -> None:
    pixels = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    assert torch.equal(pixel_batch([Image.fromarray(each) for each in pixels]), torch.from_numpy(pixels))
    assert pixel_batch([Image.fromarray(pixels[0, :, :, 0])]).shape == (1, 5, 4, 1)


def test_nothing_is_copied_where_nothing_is_converted() -> None:
    pixels = np.zeros((2, 5, 5, 3), dtype=np.uint8)
    made = pixel_batch(pixels)
    pixels[0, 0, 0, 0] = 9
    assert made[0, 0, 0, 0] == 9
    locked = np.zeros((2, 5, 5), dtype=np.uint8)
    locked.flags.writeable = False
    assert pixel_batch(locked).shape == (2, 5, 5, 1)
    assert pixel_batch(np.ones((2, 5, 5), dtype=np.uint8)[::-1]).sum() == 50


def test_a_shape_that_could_mean_two_layouts_is_never_guessed() -> None:
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    with pytest.raises(ArgumentError, match=r"shape \(2, 3, 4, 3\) may be N, H, W, C or N, C, H, W: say which"):
        pixel_batch(images)
    assert torch.equal(pixel_batch(images, "NHWC"), torch.from_numpy(images))
    assert torch.equal(pixel_batch(images, "NCHW"), torch.from_numpy(images.transpose(0, 2, 3, 1).copy()))


@pytest.mark.parametrize(
    ("images", "layout", "error", "message"),
    [
        (
            np.zeros((2, 5, 5, 4), np.uint8),
            None,
            DataError,
            r"shape \(2, 5, 5, 4\): expected \(N, H, W\), \(N, H, W, C\)",
        ),
        (np.zeros((5, 5), np.uint8), None, DataError, r"shape \(5, 5\): expected"),
        (np.zeros((2, 5, 5, 3), np.uint8), "NCHW", DataError, "are not NCHW with 1 or 3 channels"),
        (np.zeros((2, 5, 5, 3), np.uint8), "HWC", ArgumentError, "unknown layout 'HWC'"),
        (np.full((1, 4, 4), 256), None, DataError, "int64 with values from 256 to 256: expected 0 … 255"),
        (torch.full((1, 3, 5, 5), -2.1), None, DataError, "float32 with values from -2.1 to -2.1: expected 0 … 1"),
        (torch.full((1, 3, 5, 5), torch.nan), None, DataError, "nan"),
        (np.zeros((1, 4, 4), complex), None, DataError, "complex"),
        ([np.zeros((4, 4)), np.zeros((5, 4))], None, DataError, "different shapes, 4×4, 5×4: bring them to one size"),
        ("digits", None, DataError, "images of type str"),
        ([object()], None, DataError, "an image of type object"),
    ],
)
def test_refusals_say_what_is_taken(images: object, layout: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        pixel_batch(images, layout)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [np.array, list, lambda values: torch.tensor(values), lambda v: np.array(v)[:, None]])
def test_numbers_are_named(kind: object) -> None:
    labels, classes = label_batch(kind([2, 0, 1, 2]))  # type: ignore[operator]
    assert labels.tolist() == [2, 0, 1, 2]
    assert (labels.dtype, classes) == (torch.int64, ("0", "1", "2"))
    assert label_batch(np.array([1, 0], dtype=np.uint8), ["cat", "dog"])[1] == ("cat", "dog")


def test_names_are_sorted_or_in_the_order_given() -> None:
    labels, classes = label_batch(["dog", "cat", "dog"])
    assert (labels.tolist(), classes) == ([1, 0, 1], ("cat", "dog"))
    labels, classes = label_batch(["dog", "cat", "dog"], ["dog", "cat", "cow"])
    assert (labels.tolist(), classes) == ([0, 1, 0], ("dog", "cat", "cow"))


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, -1], None, "labels from -1 to 0"),
        ([0, 2], ["a", "b"], r"labels from 0 to 2: expected 0 … 1"),
        (["a", "x", "y"], ["a", "b"], "none of the classes: x, y"),
        ([0.5, 1.0], None, "expected N whole numbers or names"),
        (np.zeros((3, 2), int), None, r"labels of shape \(3, 2\)"),
    ],
)
def test_labels_that_are_none_are_refused(labels: object, classes: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        label_batch(labels, classes)


def test_pytorchs_data_sets_give_their_samples() -> None:
    images, labels = torch.rand(6, 1, 5, 5), torch.arange(6) % 3
    whole = TensorDataset(images, labels)
    given, answers, names = torch_samples(whole)
    assert given is images
    assert answers is labels
    assert names is None
    assert torch_samples(DataLoader(whole, batch_size=4))[0] is images
    subset = torch.utils.data.Subset(whole, [4, 1])
    given, answers, _ = torch_samples(subset)
    assert torch.equal(torch.stack(given), images[[4, 1]])
    assert answers == [1, 1]
    assert is_torch_data(whole)
    assert is_torch_data(DataLoader(whole))
    assert not is_torch_data((images, labels))


class Named(torch.utils.data.Dataset[tuple[Image.Image, int]]):
    """As torchvision's: PIL images, and the classes' names as an attribute."""

    classes = ("cat", "dog")

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("RGB", (6, 5), (index, 0, 0)), index % 2


def test_class_names_come_along() -> None:
    images, labels, classes = torch_samples(Named())
    assert pixel_batch(images).shape == (4, 5, 6, 3)
    assert (labels, classes) == ([0, 1, 0, 1], ("cat", "dog"))


def test_samples_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="TensorDataset of 1 tensors: expected two"):
        torch_samples(TensorDataset(torch.zeros(3, 5)))
    with pytest.raises(DataError, match="a sample of type int: expected a pair"):
        torch_samples(torch.utils.data.Subset(range(3), [0, 1]))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64, ">u2", ">i4", ">f4", np.longdouble])
def test_types_that_pytorch_lacks_are_converted(kind: type | str) -> None:
    pixels = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    whole = np.dtype(kind).kind != "f"
    found = pixel_batch((pixels if whole else pixels / np.float32(255)).astype(kind))
    assert torch.equal(found[..., 0], torch.from_numpy(pixels))
    if whole:
        with pytest.raises(DataError, match="with values from 0 to"):
            pixel_batch(np.full((2, 4, 4), np.iinfo(kind).max, kind) * np.arange(2, dtype=kind)[:, None, None])


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [("RGBA", (0, 0, 0, 0), 255), ("I;16", 33792, 131), ("LA", (10, 255), 10), ("1", 1, 255)],
)
def test_pictures_are_converted_as_those_of_files(mode: str, value: object, expected: int) -> None:
    picture = Image.new(mode, (5, 4), value)  # type: ignore[arg-type]
    pixels = pixel_batch([picture, picture])
    assert pixels.unique().tolist() == [expected]
    mixed = pixel_batch([picture, Image.new("RGB", (5, 4), (1, 2, 3))])
    assert mixed.shape == (2, 4, 5, 3)
    assert mixed[0].unique().tolist() == [expected]


@pytest.mark.parametrize(
    "labels",
    [
        [1, None],
        ["a", None],
        ["a", 1.5],
        [[1, 0], [0, 1]],
        [[1], [1, 2]],
        [0.0, float("nan")],
        torch.zeros(3).bfloat16(),
    ],
)
def test_what_is_no_label_is_refused(labels: object) -> None:
    with pytest.raises(DataError, match="expected N whole numbers or names"):
        label_batch(labels)


def test_labels_of_other_kinds_are_converted() -> None:
    assert label_batch(np.array([10, 2, 0], dtype=object))[0].tolist() == [10, 2, 0]
    assert label_batch([0, 1], classes=[7, 8])[1] == ("7", "8")  # type: ignore[list-item]
    with pytest.raises(DataError, match="labels up to 1,000,000,000: pass classes="):
        label_batch([0, 10**9])
