"""Contact sheets: the right images in the right places, whatever the classes are called."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from striate.data import Dataset, Split
from striate.data.contact_sheet import contact_sheet


def dataset(classes: tuple[str, ...], size: tuple[int, int] = (4, 4), channels: int = 1, each: int = 20) -> Dataset:
    """Image n of class c is flat, of value 10 c + n."""
    values = torch.tensor([[10 * label + number for number in range(each)] for label in range(len(classes))])
    images = (values.reshape(-1, 1, 1, 1) % 256).to(torch.uint8).expand(-1, *size, channels).clone()
    labels = torch.arange(len(classes)).repeat_interleave(each)
    return Dataset("made up", classes, Split(images, labels))


def test_a_row_of_examples_spread_over_each_class() -> None:
    sheet = np.asarray(contact_sheet(dataset(("a", "b")), columns=3))
    assert sheet.shape[0] == 4 + 2 * 60
    first = sheet.shape[1] - 3 * 60
    for row in range(2):
        middle = sheet[4 + row * 60 + 28]
        assert [middle[first + column * 60 + 28].tolist() for column in range(3)] == [
            [10 * row + number] * 3 for number in (0, 9, 19)
        ]


def test_small_images_are_enlarged_by_a_whole_number_without_smoothing() -> None:
    data = dataset(("a", "b"), size=(30, 20), channels=3)
    data.train.images[0] = torch.randint(0, 256, (30, 20, 3), generator=torch.Generator().manual_seed(0))
    sheet = np.asarray(contact_sheet(data, columns=1))
    cell = sheet[4:64, -44:-4]
    assert np.array_equal(cell, data.train.images[0].numpy().repeat(2, axis=0).repeat(2, axis=1))


def test_large_images_are_shrunk() -> None:
    assert contact_sheet(dataset(("a", "b"), size=(300, 600)), columns=2).height == 4 + 2 * (56 + 4)


def test_a_class_with_few_images_has_a_short_row() -> None:
    sheet = np.asarray(contact_sheet(dataset(("a", "b"), each=2), columns=4))
    assert (sheet[4:60, -116:] == 255).all()


def test_the_same_sheet_every_time() -> None:
    data = dataset(("a", "b", "c"))
    assert contact_sheet(data).tobytes() == contact_sheet(data).tobytes()


NAMES = ("x" * 500, "鳥と猫", "сова", "a\tb\nc", "🐈", "\u202eabc", "é" * 300)


def test_names_of_any_length_and_alphabet_are_drawn() -> None:
    sheet = contact_sheet(dataset(NAMES))
    assert sheet.width < 900
    ink = np.asarray(sheet)[:, :150].min(axis=(1, 2))
    for row in range(len(NAMES)):
        assert ink[4 + row * 60 : 60 + row * 60].min() < 100


def test_a_pillow_without_freetype_draws_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bitmap = ImageFont.load_default_imagefont()

    def unavailable(*arguments: object) -> None:
        raise ImportError("The _imagingft C module is not installed")

    monkeypatch.setattr(ImageFont, "truetype", unavailable)
    monkeypatch.setattr(ImageFont, "load_default", lambda: bitmap)
    assert isinstance(contact_sheet(dataset(NAMES)), Image.Image)


def test_very_many_classes_are_cut_and_said() -> None:
    sheet = contact_sheet(dataset(tuple(f"class {number}" for number in range(130)), each=1), columns=1)
    assert sheet.height == 4 + 101 * 60
