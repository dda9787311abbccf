"""The handwritten digits that scikit-learn includes, no download needed: 1,797 images (Alpaydin and Kaynak, 1998)."""

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
    from sklearn import datasets  # a second to import: only who asks for digits pays

    bunch = datasets.load_digits()
    images = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))[..., None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
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
