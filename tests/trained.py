"""Fixtures that several folders of tests share: a small data set, and runs trained on it and on the digits."""

import pytest
from small_run import dataset, recipe

from striate.data import Dataset
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
    """A run whose own data can be loaded again: one epoch on the digits. Only reports are written to it."""
    return train("mlp", "digits", recipe(epochs=1, augment="none"), out=tmp_path_factory.mktemp("runs") / "digits")
