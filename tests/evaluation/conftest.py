"""One small trained run for all tests of evaluation, and folders of images to measure it on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from trained import digits_run, run, shapes

from striate.data import Dataset, Split

__all__ = ["digits_run", "run", "save", "shapes"]


@pytest.fixture
def save(shapes: Dataset) -> Callable[[Split, Path], Path]:
    """`save(split, folder)`: the pictures as PNG files in class folders."""

    def save(split: Split, folder: Path) -> Path:
        for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
            path = folder / shapes.classes[label] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[:, :, 0].numpy()).save(path)
        return folder

    return save
