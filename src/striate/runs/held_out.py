"""Training images that are held out of a run's training: to choose what is kept, and to calibrate the probabilities."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from striate import seeding
from striate.data import Split
from striate.data.lazy import Images, LazyImages
from striate.training import Recipe

FEWEST = 20  # images; of fewer, chance would choose
MOST_TO_CALIBRATE = 5000  # which place the coverage of prediction sets within 0.3 % (standard deviation)


def held_out(labels: Tensor, recipe: Recipe) -> Tensor:
    """Positions of the training images that the run is not trained on, sorted: int64 (n,); see `divided`.

    Args:
        labels: of the training images, int64 (N,).
        recipe: resolved.
    """
    if recipe.held_out:
        return _to_choose(labels, recipe)
    return _to_calibrate(labels, recipe) if recipe.calibration else torch.empty(0, dtype=torch.int64)


def _to_choose(labels: Tensor, recipe: Recipe) -> Tensor:
    """The images that tell whether training beat the fitted head, which calibrate, too.

    Each class gives its share, drawn by the recipe's seed. There are none where nothing is trained, or too few.
    """
    drawn = []
    for _, members in _shuffled(labels, recipe.seed, "held-out"):
        drawn.append(members[: math.floor(recipe.held_out * len(members))])
    held = torch.cat(drawn).sort().values
    return held[:0] if recipe.only_fits_head or len(held) < FEWEST else held


def _to_calibrate(labels: Tensor, recipe: Recipe) -> Tensor:
    """The images that only calibrate: the same share of every class, rounded up or down at random, or too few for it.

    Rounded so, each image is as likely as any other to be among them, as split conformal prediction assumes; a class's
    last image is never taken.
    """
    share = min(recipe.calibration, MOST_TO_CALIBRATE / len(labels))
    drawn = []
    for label, members in _shuffled(labels, recipe.seed, "calibration"):
        luck = float(torch.rand(1, generator=seeding.generator(recipe.seed, "calibration", "rounding", label)))
        drawn.append(members[: min(math.floor(share * len(members) + luck), len(members) - 1)])
    held = torch.cat(drawn).sort().values
    return held[:0] if len(held) < FEWEST else held


def _shuffled(labels: Tensor, seed: int, purpose: str) -> Iterator[tuple[int, Tensor]]:
    """Each class, and the positions of its images in a drawn order."""
    classes, counts = labels.unique(return_counts=True)
    for label, members in zip(classes.tolist(), labels.argsort(stable=True).split(counts.tolist()), strict=True):
        yield label, members[torch.randperm(len(members), generator=seeding.generator(seed, purpose, label))]


def divided(split: Split, recipe: Recipe) -> tuple[Tensor | None, Split | None]:
    """Positions of the training images to train on, `None` for all of them, and the images that are held out."""
    held = held_out(split.labels, recipe)
    if not len(held):
        return None, None
    kept = torch.ones(len(split), dtype=torch.bool)
    kept[held] = False
    return torch.nonzero(kept)[:, 0], _some(split, held)


def note(held: Split, recipe: Recipe) -> str:
    """A sentence for the user on the images that are held out."""
    if recipe.held_out:
        return f"{len(held):,} training images are held out: they choose what is kept, and calibrate the probabilities."
    return (
        f"{len(held):,} training images are held out to calibrate the probabilities; --set calibration=0 trains on all."
    )


def _some(split: Split, index: Tensor) -> Split:
    images: Images = split.images
    if isinstance(images, LazyImages):
        whole = images
        some: Images = LazyImages((len(index), *whole.shape[1:]), lambda positions: whole[index[positions]])
    else:
        some = images[index]
    return Split(
        some, split.labels[index], tuple(split.files[place] for place in index.tolist()) if split.files else ()
    )
