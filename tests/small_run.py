"""A data set and a network so small that a run takes a second, with everything that makes resuming hard."""

import numpy as np
import torch
from torch import Tensor, nn

from striate import seeding
from striate.data import Dataset, Split
from striate.layers import StochasticDepth
from striate.training import Recipe

CLASSES = ("cross", "bar", "dot")


def split(count: int, seed: int) -> Split:
    """Noisy 8×8 pictures of three shapes: uint8 (count, 8, 8, 1)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(CLASSES), count)
    images = random.integers(0, 80, (count, 8, 8, 1))
    images[labels == 0, 3:5, :] += 120
    images[labels <= 1, :, 3:5] += 120
    images[labels == 2, 2:6, 2:6] += 100
    return Split(torch.from_numpy(images.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels))


def dataset(count: int = 100) -> Dataset:
    """Shapes with all three splits."""
    return Dataset("shapes", CLASSES, split(count, 0), split(20, 1), split(20, 2))


class Dropping(nn.Module):
    """Convolution, dropout and two dense layers: (N, 1, 8, 8) to (N, 3)."""

    def __init__(self, seed: int = 0):
        super().__init__()
        with seeding.scoped(seed, "weights"):
            self.conv = nn.Conv2d(1, 4, 3)
            self.dropout = nn.Dropout(0.3)
            self.dense = nn.Linear(4 * 36, 16)
            self.output = nn.Linear(16, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(torch.relu(self.conv(x)).flatten(1))
        return self.output(torch.relu(self.dense(x)))


def recipe(**settings: object) -> Recipe:
    """Two epochs of seven steps, the last of them short."""
    return Recipe(**{"epochs": 2, "batch_size": 16, "augment": "flip,shift=0.1,rotate=5", **settings})


class Normalized(nn.Module):
    """Two convolutions with batch normalisation, and stochastic depth: (N, 1, 8, 8) to (N, 3)."""

    def __init__(self, seed: int = 0):
        super().__init__()
        with seeding.scoped(seed, "weights"):
            self.first = nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU())
            self.second = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
            self.depth = StochasticDepth(0.3)
            self.output = nn.Linear(6, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.output((x + self.depth(self.second(x))).mean((2, 3)))
