"""The handwritten digits that scikit-learn includes, no download needed: 1,797 images (Alpaydin and Kaynak, 1998)."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from striate.data.dataset import Dataset, Split
from striate.data.splits import portion, ranked

_TEST_SHARE = 0.2


def load_digits() -> Dataset:
    """Load 1,797 grey images of 8×8 pixels, classes "0" to "9": 1,438 for training and 359 for testing.

    The pixels, 0 … 16 in scikit-learn, are scaled to 0 … 255. A fifth of each class is the test split, always the same
    images; there is no val split.
    """
    pixels, target = _table()
    images = torch.from_numpy(np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8))[..., None]
    labels = torch.from_numpy(target)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        members = torch.nonzero(labels == label)[:, 0].tolist()
        order = ranked([str(index) for index in members])
        held[[members[position] for position in order[: portion(len(members), _TEST_SHARE)]]] = True
    return Dataset(
        source="digits",
        classes=tuple(str(digit) for digit in range(10)),
        train=Split(images[~held], labels[~held]),
        test=Split(images[held], labels[held]),
        mirror=False,
    )


def _table() -> tuple[np.ndarray, np.ndarray]:
    """The pixels, float64 (N, 64), and labels, int64 (N,), from scikit-learn's file: importing it takes a second."""
    found = find_spec("sklearn")
    file = Path(found.origin).parent / "datasets/data/digits.csv.gz" if found and found.origin else None
    if file is None or not file.is_file():  # kept elsewhere, in another version
        from sklearn import datasets

        bunch = datasets.load_digits()
        return bunch.data, bunch.target.astype(np.int64)
    values = np.loadtxt(file, delimiter=",", dtype=np.float64)
    return values[:, :-1], values[:, -1].astype(np.int64)
