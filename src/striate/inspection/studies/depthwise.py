"""Experiment on learned invariance: templates in groups, of which the largest response counts.

The textbook's idea (Géron, Hands-On Machine Learning, chapter 14): pooling across channels lets a network learn any
invariance, say to rotation, if the filters of a group come to see the same thing turned. That is what templates as
large as the image do, in a network of one layer: three networks of templates learn images that are rotated, moved or
changed in another way. Small filters in a first layer do not: two convolutional networks, with and without
DepthwiseMaxPool2d, show it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate import seeding
from striate.data import Dataset, Split, load
from striate.data.loader import Loader
from striate.errors import ArgumentError, unknown
from striate.inference import logits_of
from striate.inspection.studies.changes import CHANGES, Change
from striate.inspection.studies.templates import GROUP, HOTTEST, Likeness, TemplateNet, likeness, networks
from striate.layers import DepthwiseMaxPool2d
from striate.preprocess import Preprocess
from striate.training import Recipe, Training
from striate.types import Progress

SIDE, DIGITS_SIDE = 28, 16  # pixels; the digits, of 8, are drawn twice as large so that they can be rotated
LEAST = 0.01  # share of wins below which a template counts as unused
FEW = 10_000  # training images; fewer are learnt in smaller batches
TEMPLATES = Recipe(
    name="templates",
    steps="1000",
    batch_size=512,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=0.3,
    warmup=0,
    clip_norm=0,
    loss="cross-entropy",
)
SMALL_FILTERS = Recipe(name="small filters", steps="250", batch_size=64, learning_rate=0.02, loss="cross-entropy")
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
    """Result of one network.

    Args:
        name: of the network.
        parameters: number of trainable parameters.
        accuracy: on the test images changed by every strength, mean over these.
        by_strength: accuracy at each strength, mean over seeds.
    """

    name: str
    parameters: int
    accuracy: Estimate
    by_strength: tuple[float, ...]


@dataclass(frozen=True)
class Winners:
    """Winning templates of a grouped network: those with the largest response of their group.

    The templates of a group are numbered by the mean strength at which they win; unused ones come last.

    Args:
        order: the network's numbers of these templates, within their groups: int64 (classes, templates).
        shares: of the test images of each class at each strength, the share for which each template of its group has
            the largest response: float32 (classes, templates, strengths).
        examples: the first test image of each class at each strength: uint8 (classes, strengths, side, side).
        chosen: for each of these, the template with the largest response of all, counted through the groups: int64
            (classes, strengths).
    """

    order: Tensor
    shares: Tensor
    examples: Tensor
    chosen: Tensor

    @property
    def used(self) -> Tensor:
        """True for each template that wins for a share of `LEAST` or more of its class's images, changed by all
        strengths: bool (classes, templates)."""
        return self.shares.mean(2) >= LEAST


@dataclass(frozen=True)
class DepthwiseStudy:
    """Results of `depthwise_study`.

    Args:
        change: how the images were changed.
        source: name of the data.
        classes: their names.
        images: how many test images.
        templates: three networks: maximum over groups of templates; as many read by a linear layer; one a class.
        filters: two convolutional networks: with depthwise max pooling, and without, with as many parameters.
        weights: the first seed's grouped templates: float32 (classes, templates, side, side).
        winners: which of them win.
        likeness: of each seed's grouped templates that are used; empty for a change that is no map of the plane, or
            where no group uses two of them.
    """

    change: Change
    source: str
    classes: tuple[str, ...]
    images: int
    templates: tuple[Arm, Arm, Arm]
    filters: tuple[Arm, Arm]
    weights: Tensor
    winners: Winners
    likeness: tuple[Likeness, ...]


def depthwise_study(
    source: str = "digits",
    change: str = "rotation",
    seeds: int = 3,
    steps: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> DepthwiseStudy:
    """Train each network with each seed on changed images, and find which templates win and how alike they are.

    Args:
        source: the data, for `load`: in grey, of 28×28 pixels ("digits": 16×16).
        change: the name of one of `CHANGES`.
        seeds: how many, 1 to 10.
        steps: of each training, if not those of the recipes.
        progress: called with what is being done, how much of it is done, and how much there is.

    Raises:
        ArgumentError: for another number of seeds, an unknown change, or data that `load` refuses.
        DataError: if `load` can't read the data.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise ArgumentError(f"seeds={seeds}: choose 1 to {MOST_SEEDS}.")
    if change not in CHANGES:
        raise unknown("change", change, CHANGES)
    changed = CHANGES[change]
    data = load(source, image_size=DIGITS_SIDE if source == "digits" else SIDE, channels=1, progress=progress)
    _, test = data.held_out or ("train", data.train)
    trained, preprocess = _trained(data, changed, seeds, steps, progress)
    accuracy = _accuracies(trained, test, changed, preprocess)
    arms = [
        Arm(
            name,
            sum(p.numel() for p in models[0].parameters()),
            Estimate(tuple(found.mean(1).tolist())),
            tuple(found.mean(0).tolist()),
        )
        for (name, models), found in zip(trained.items(), accuracy, strict=True)
    ]
    grouped = trained[next(iter(trained))]
    winners = [_winners(model, test, len(data.classes), changed, preprocess) for model in grouped]
    weights = [
        _rearranged(_templates(model, len(data.classes)), each.order)
        for model, each in zip(grouped, winners, strict=True)
    ]
    comparable = changed.between and all(bool((each.used.sum(1) > 1).any()) for each in winners)
    return DepthwiseStudy(
        change=changed,
        source=source,
        classes=tuple(data.classes),
        images=len(test),
        templates=(arms[0], arms[1], arms[2]),
        filters=(arms[3], arms[4]),
        weights=weights[0],
        winners=winners[0],
        likeness=tuple(
            likeness(templates, changed, each.used) for templates, each in zip(weights, winners, strict=True)
        )
        if comparable
        else (),
    )


def _trained(
    data: Dataset, change: Change, seeds: int, steps: int | None, progress: Progress
) -> tuple[dict[str, list[nn.Module]], Preprocess]:
    """The networks by name, one for each seed, and the normalisation of their input."""
    _, height, width, _ = data.train.images.shape
    preprocess = Preprocess(height, width, 1).with_statistics(data.train.images[:])
    made = networks(height, len(data.classes))
    trained: dict[str, list[nn.Module]] = {name: [] for name in made}
    for name, network in made.items():
        for seed in range(seeds):
            progress("training networks", sum(map(len, trained.values())), seeds * len(made))
            with seeding.scoped(seed, "weights"):
                model = network()
            _train(model, data.train, change, preprocess, seed, steps)
            trained[name].append(model)
    progress("training networks", seeds * len(made), seeds * len(made))
    return trained, preprocess


def _train(
    model: nn.Module, train: Split, change: Change, preprocess: Preprocess, seed: int, steps: int | None
) -> None:
    """Train by the network's recipe; a maximum over templates is annealed, so that fewer stay unused."""
    recipe = SMALL_FILTERS
    if isinstance(model, TemplateNet):
        recipe = TEMPLATES if len(train) >= FEW else TEMPLATES.replace(batch_size=64)
    recipe = recipe.replace(seed=seed, steps=str(steps or recipe.steps))
    batches = Loader(train, preprocess, recipe.batch_size, seed, change.augment)
    for step in Training(model, batches, recipe):
        if isinstance(model, TemplateNet) and isinstance(model.readout, DepthwiseMaxPool2d):
            model.readout.temperature = HOTTEST * (1 - step.step / step.steps)
    batches.close()


def _accuracies(
    trained: dict[str, list[nn.Module]], test: Split, change: Change, preprocess: Preprocess
) -> list[Tensor]:
    """Accuracy at each strength, for each network: float64 (seeds, strengths)."""
    found: list[list[list[float]]] = [[[] for _ in models] for models in trained.values()]
    for strength in change.strengths:
        images = change(test.images[:], strength)
        for models, rows in zip(trained.values(), found, strict=True):
            for model, row in zip(models, rows, strict=True):
                right = logits_of(model, images, preprocess).argmax(1) == test.labels
                row.append(float(right.double().mean()))
    return [torch.tensor(rows, dtype=torch.float64) for rows in found]


def _templates(model: nn.Module, classes: int) -> Tensor:
    """The templates of a grouped network: float32 (classes, templates, side, side)."""
    weight: Tensor = model.get_parameter("templates.weight").detach()
    side = math.isqrt(weight.shape[1])
    return weight.reshape(classes, -1, side, side)


def _winners(model: nn.Module, test: Split, classes: int, change: Change, preprocess: Preprocess) -> Winners:
    assert isinstance(model, TemplateNet)
    first = [int((test.labels == number).nonzero()[0]) for number in range(classes)]
    shares, examples, chosen = [], [], []
    for strength in change.strengths:
        images = change(test.images[:], strength)
        with torch.no_grad():
            responses = model.responses(preprocess.normalize(images)).flatten(1)  # (N, classes · templates)
        own = responses.unflatten(1, (classes, GROUP))[torch.arange(len(images)), test.labels]
        wins = nn.functional.one_hot(own.argmax(1), GROUP).float()
        shares.append(torch.stack([wins[test.labels == number].mean(0) for number in range(classes)]))
        examples.append(images[first, :, :, 0])
        chosen.append(responses[first].argmax(1))
    found = torch.stack(shares, 2)  # (classes, templates, strengths)
    mean_strength = found @ torch.tensor(change.strengths) / found.sum(2)
    order = mean_strength.masked_fill(found.mean(2) < LEAST, torch.inf).argsort(dim=1, stable=True)
    group, template = torch.stack(chosen, 1) // GROUP, torch.stack(chosen, 1) % GROUP
    rank = order.argsort(1)[group, template]
    return Winners(order, _rearranged(found, order), torch.stack(examples, 1), group * GROUP + rank)


def _rearranged(values: Tensor, order: Tensor) -> Tensor:
    """Values of templates, (classes, templates, …), in this order, int64 (classes, templates)."""
    return values[torch.arange(len(order))[:, None], order]
