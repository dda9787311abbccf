"""One small trained run for all tests of evaluation, and folders of images to measure it on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from small_run import dataset, recipe

from striate.data import Dataset, Split
from striate.runs import Run, train


@pytest.fixture(scope="session")
def shapes() -> Dataset:
    """100, 20 and 20 pictures of three shapes, uint8 (N, 8, 8, 1)."""
    return dataset()


@pytest.fixture(scope="session")
def run(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that knows the shapes fairly well, and makes mistakes. Read it only."""
    return train("mlp", shapes, recipe(epochs=1, learning_rate=0.003), out=tmp_path_factory.mktemp("runs") / "shapes")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose own data can be loaded again: one epoch on the digits. Read it only."""
    return train("mlp", "digits", recipe(epochs=1, augment="none"), out=tmp_path_factory.mktemp("runs") / "digits")


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
