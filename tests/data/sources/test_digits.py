"""scikit-learn's digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits as reference

from striate.data import Dataset, load


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load()


def test_the_facts(digits: Dataset) -> None:
    assert digits.source == "digits"
    assert digits.classes == tuple("0123456789")
    assert digits.train.images.shape == (1438, 8, 8, 1)
    assert digits.test is not None
    assert digits.test.images.shape == (359, 8, 8, 1)
    assert digits.val is None
    assert digits.mirror is False
    assert digits.held_out == ("test", digits.test)


def test_a_fifth_of_each_class_is_the_test_split(digits: Dataset) -> None:
    assert digits.test is not None
    shares = digits.test.labels.bincount().numpy() / np.bincount(reference().target)
    assert (abs(shares - 0.2) < 0.005).all()


def test_no_image_is_lost_changed_or_in_both_splits(digits: Dataset) -> None:
    assert digits.test is not None
    found = [
        (int(label), image.numpy().tobytes())
        for split in (digits.train, digits.test)
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    expected = [
        (int(label), np.floor(image * 255 / 16 + 0.5).astype(np.uint8).tobytes())
        for image, label in zip(reference().images, reference().target, strict=True)
    ]
    assert sorted(found) == sorted(expected)


def test_the_values_fill_the_range(digits: Dataset) -> None:
    assert digits.train.images.unique().tolist() == [
        0,
        16,
        32,
        48,
        64,
        80,
        96,
        112,
        128,
        143,
        159,
        175,
        191,
        207,
        223,
        239,
        255,
    ]


def test_the_split_never_changes(digits: Dataset) -> None:
    # Written down from the first version, as are the results that were measured on it.
    assert digits.test is not None
    assert digits.test.labels[:20].tolist() == [2, 4, 6, 7, 1, 5, 7, 4, 9, 5, 5, 1, 7, 0, 7, 1, 2, 0, 6, 2]
