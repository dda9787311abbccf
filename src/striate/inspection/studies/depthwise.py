"""Experiment on learned invariance: max pooling across groups of four filters, at every pixel.

The textbook's idea (Géron, Hands-On Machine Learning, chapter 14): pooling across channels lets a network learn any
invariance, say to rotation, if the filters of a group come to see the same thing turned. Here three networks learn
handwritten digits under rotation: with DepthwiseMaxPool2d, the same without it, and one without it that has as many
parameters; and the filters are compared with each other, rotated.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate import seeding
from striate.augmentation import parse
from striate.augmentation.geometry import affine
from striate.data import Split, load
from striate.data.loader import Loader
from striate.errors import ArgumentError
from striate.inference import logits_of
from striate.layers import DepthwiseMaxPool2d, MaxPool2d
from striate.preprocess import Preprocess
from striate.training import Recipe, Training
from striate.types import Progress

SIDE = 16  # pixels: the digits, of 8, drawn twice as large so that they can be rotated
GROUPS, GROUP = 8, 4  # of filters, and filters in each
CHANNELS = 20  # of the second layer
EQUAL_FILTERS = 11  # filters that give the network without groups as many parameters, but for 6 of 5,502
MOST_DEGREES = 90  # to either side; further, a 6 is a 9
ANGLES = tuple(range(-MOST_DEGREES, MOST_DEGREES + 1, 15))
STROKES = tuple(range(0, 180, 5))  # degrees at which the groups are shown a line
RECIPE = Recipe(
    name="depthwise",
    epochs=40,
    batch_size=32,
    learning_rate=0.02,
    augment=f"rotate={MOST_DEGREES}",
    loss="cross-entropy",
)
# Student's t for a 95 % interval, by the number of seeds.
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
MOST_SEEDS = max(_T)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and its 95 % confidence interval (Student's t).

    `interval` is `None` for a single seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return sum(self.values) / len(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lower and upper end of the interval."""
        n = len(self.values)
        if n == 1:
            return None
        spread = math.sqrt(sum((value - self.mean) ** 2 for value in self.values) / (n - 1) / n)
        return self.mean - _T[n] * spread, self.mean + _T[n] * spread

    def minus(self, other: "Estimate") -> "Estimate":
        """The differences, seed by seed."""
        return Estimate(tuple(mine - its for mine, its in zip(self.values, other.values, strict=True)))


@dataclass(frozen=True)
class Arm:
    """Result of one of the three networks.

    Args:
        name: of the network.
        parameters: number of trainable parameters.
        accuracy: on the test images rotated by every angle of `ANGLES`, mean over these.
        consistency: how often a rotated image gets the class of the upright one, mean over all angles but 0.
        by_angle: accuracy and consistency at each angle, mean over seeds.
    """

    name: str
    parameters: int
    accuracy: Estimate
    consistency: Estimate
    by_angle: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class DepthwiseStudy:
    """Results of `depthwise_study`.

    Args:
        arms: with depthwise pooling; without; without, and with as many parameters.
        images: how many test images.
        filters: those of the first seed: float32 (groups, filters, 5, 5).
        winners: for each group and each of `STROKES`, the filter with the largest response to a line at that angle; -1
            where none responds: int64 (groups, angles), of the first seed.
        alike: of filters of one group, similarity of one to another rotated (the largest correlation over all
            angles), mean over pairs.
        alike_untrained: the same before training.
        alike_across: the same of filters of different groups, trained.
    """

    arms: tuple[Arm, Arm, Arm]
    images: int
    filters: Tensor
    winners: Tensor
    alike: Estimate
    alike_untrained: Estimate
    alike_across: Estimate


class RotationNet(nn.Module):
    """Network of two convolutions, images (N, 1, 16, 16) to logits (N, 10), with grouped pooling if `group` > 1."""

    def __init__(self, filters: int, group: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, filters, 5, padding="same")
        self.group = DepthwiseMaxPool2d(group) if group > 1 else nn.Identity()
        self.relu1, self.pool1 = nn.ReLU(), MaxPool2d(2)
        self.conv2 = nn.Conv2d(filters // group, CHANNELS, 3, padding="same")
        self.relu2, self.pool2 = nn.ReLU(), MaxPool2d(2)
        self.flatten, self.output = nn.Flatten(), nn.Linear(CHANNELS * (SIDE // 4) ** 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of a batch."""
        x = self.pool1(self.relu1(self.group(self.conv1(x))))  # (N, filters / group, 8, 8)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 20, 4, 4)
        return self.output(self.flatten(x))


ARMS = (
    ("with depthwise max pooling", GROUPS * GROUP, GROUP),
    ("the same without", GROUPS * GROUP, 1),
    ("without, equal parameters", EQUAL_FILTERS, 1),
)


def depthwise_study(
    seeds: int = 3, recipe: Recipe = RECIPE, progress: Progress = lambda what, done, total: None
) -> DepthwiseStudy:
    """Train each network with each seed on scikit-learn's digits, rotated by up to 90° to either side.

    Args:
        seeds: how many, 1 to 10.
        recipe: how they learn; its seed is not used.
        progress: called with what is being done, how much of it is done, and how much there is.

    Raises:
        ArgumentError: for another number of seeds.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise ArgumentError(f"seeds={seeds}: choose 1 to {MOST_SEEDS}.")
    data = load("digits", image_size=SIDE)
    _, test = data.held_out or ("train", data.train)
    preprocess = Preprocess(SIDE, SIDE, 1).with_statistics(data.train.images[:])
    total, done = seeds * len(ARMS), 0
    arms, grouped = [], []
    for name, filters, group in ARMS:
        found = []
        for seed in range(seeds):
            progress("training networks", done, total)
            with seeding.scoped(seed, "weights"):
                model = RotationNet(filters, group)
            before = model.conv1.weight.detach().clone()
            _train(model, data.train, preprocess, recipe.replace(seed=seed))
            found.append(_by_angle(model, test, preprocess))
            if group > 1:
                grouped.append((model, before))
            done += 1
        arms.append(_arm(name, sum(p.numel() for p in model.parameters()), torch.stack(found)))
    progress("training networks", done, total)
    first = grouped[0][0]
    similarities = [(_similarity(model.conv1.weight), _similarity(before)) for model, before in grouped]
    return DepthwiseStudy(
        arms=(arms[0], arms[1], arms[2]),
        images=len(test),
        filters=first.conv1.weight.detach().reshape(GROUPS, GROUP, 5, 5),
        winners=_winners(first, preprocess),
        alike=Estimate(tuple(trained[0] for trained, _ in similarities)),
        alike_untrained=Estimate(tuple(untrained[0] for _, untrained in similarities)),
        alike_across=Estimate(tuple(trained[1] for trained, _ in similarities)),
    )


def _train(model: nn.Module, train: Split, preprocess: Preprocess, recipe: Recipe) -> None:
    batches = Loader(train, preprocess, recipe.batch_size, recipe.seed, parse(recipe.augment))
    for _ in Training(model, batches, recipe):
        pass


def _by_angle(model: nn.Module, test: Split, preprocess: Preprocess) -> Tensor:
    """Accuracy and consistency at each angle: float64 (angles, 2)."""
    predicted = {angle: logits_of(model, turned(test.images[:], angle), preprocess).argmax(1) for angle in ANGLES}
    right = [(each == test.labels).double().mean() for each in predicted.values()]
    same = [(each == predicted[0]).double().mean() for each in predicted.values()]
    return torch.stack([torch.stack(right), torch.stack(same)], 1)


def _arm(name: str, parameters: int, found: Tensor) -> Arm:
    """Make an arm from its measurements, float64 (seeds, angles, 2)."""
    turned_only = [number for number, angle in enumerate(ANGLES) if angle]
    return Arm(
        name,
        parameters,
        Estimate(tuple(found[:, :, 0].mean(1).tolist())),
        Estimate(tuple(found[:, turned_only, 1].mean(1).tolist())),
        tuple((accuracy, consistency) for accuracy, consistency in found.mean(0).tolist()),
    )


def turned(images: Tensor, degrees: float) -> Tensor:
    """Rotate images, uint8 (N, H, W, C), to the left about their middle."""
    angle = math.radians(degrees)
    matrix = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return affine(images, torch.tensor(matrix, dtype=torch.float64).expand(len(images), 2, 2))


def _winners(model: RotationNet, preprocess: Preprocess) -> Tensor:
    """The filter of each group with the largest response to a line, two pixels wide, at each of the angles."""
    line = torch.zeros(1, 4 * SIDE, 4 * SIDE, 1, dtype=torch.uint8)
    line[:, :, 2 * SIDE - 4 : 2 * SIDE + 4] = 255  # upright, four times as fine, so that turning does not fray it
    lines = torch.cat([turned(line, angle) for angle in STROKES]).float().permute(0, 3, 1, 2)
    shown = nn.functional.avg_pool2d(lines, 4).permute(0, 2, 3, 1)
    with torch.no_grad():
        responses = model.conv1(preprocess.normalize(shown))[:, :, 4:-4, 4:-4].amax((2, 3))  # (angles, filters)
    strongest, winner = responses.reshape(len(STROKES), GROUPS, GROUP).max(2)
    return torch.where(strongest > 0, winner, -1).T


def _similarity(weight: Tensor) -> tuple[float, float]:
    """Similarity of filters up to rotation: mean over pairs of one group, and over pairs of different groups.

    The largest correlation over turns of 15°, over the disc that every turn leaves in the filter.
    """
    filters = weight.detach().reshape(-1, 1, 5, 5)
    angles = torch.arange(0, 360, 15).double().deg2rad()
    rows = [torch.stack([angles.cos(), -angles.sin()], -1), torch.stack([angles.sin(), angles.cos()], -1)]
    theta = torch.cat([torch.stack(rows, -2), torch.zeros(len(angles), 2, 1).double()], 2).float()
    grid = nn.functional.affine_grid(theta, [len(angles), 1, 5, 5], align_corners=True)
    place = torch.arange(5.0) - 2
    disc = (place[:, None].square() + place.square()) <= 5
    rotations = torch.stack(
        [nn.functional.grid_sample(each.expand(len(angles), 1, 5, 5), grid, align_corners=True) for each in filters]
    )[:, :, 0, disc]  # (filters, angles, cells)
    rotations = nn.functional.normalize(rotations - rotations.mean(-1, keepdim=True), dim=-1)
    similarity = torch.einsum("ic,jac->ija", rotations[:, 0], rotations).amax(2)
    group = torch.arange(len(filters)) // GROUP
    same, self_ = group[:, None] == group, torch.eye(len(filters), dtype=torch.bool)
    return float(similarity[same & ~self_].mean()), float(similarity[~same].mean())
