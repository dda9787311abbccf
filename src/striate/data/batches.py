"""Batches as a function of the step: seeded order, variation, mixing, normalisation, device; made ahead of time."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from striate import seeding
from striate.data.ahead import Ahead
from striate.data.dataset import Split
from striate.data.lazy import LazyImages
from striate.data.workers import cores
from striate.errors import ArgumentError
from striate.preprocess import Preprocess

Vary = Callable[..., Tensor]  # where it has a true attribute `mixes`, its `mix` gives images and targets

_DEPTH = 2  # batches made ahead


class Batch(NamedTuple):
    """Input and answers of one step: float32 (B, C, H, W), channels-last, and int64 (B,).

    Where images are mixed, the answers are shares of the classes: float32 (B, classes).
    """

    inputs: Tensor
    targets: Tensor


Make = Callable[[int], Batch]


class Batches:
    """The training batches of a split, in an order drawn anew each epoch.

    The batch of a step depends on the seed and the step alone, so a run continues anywhere with nothing to restore.
    The last batch of an epoch holds what is left over. While a batch is used, the next ones are made in the background:
    what they hold does not depend on it, and what goes wrong with one is raised when that one is asked for.

    Args:
        split: what to train on; its images already have the size that `preprocess` says.
        preprocess: how pixels become input.
        batch_size: samples a step.
        seed: what order and variation are drawn from.
        vary: an augmentation policy, called with images, seed, epoch and index; `None` for none.
        device: where the batches go.
        classes: how many there are, for policies that mix images.
    """

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess,
        batch_size: int,
        seed: int,
        vary: Vary | None = None,
        device: torch.device | str = "cpu",
        classes: int | None = None,
    ):
        if getattr(vary, "mixes", False) and classes is None:
            raise ArgumentError("an augmentation that mixes images needs to know how many classes there are.")
        self.split = split
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.seed = seed
        self.vary = vary
        self.device = torch.device(device)
        self.classes = classes
        self._order: tuple[int, Tensor] | None = None
        lazy = isinstance(split.images, LazyImages)
        make = weakref.WeakMethod(self._make)  # its threads are no reason to keep this object
        self._ahead = Ahead(lambda step: cast(Make, make())(step), _DEPTH, threads=2 if lazy else 1)
        self._alone = not lazy and self.device.type == "cpu" and cores() == 1

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        return self._make(step) if self._alone else self._ahead[step]

    def close(self) -> None:
        """End what is under way in the background; it begins again when another batch is asked for."""
        self._ahead.close()

    def _make(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        index = self.order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        images = self.split.images[index].to(self.device, non_blocking=True)
        targets = self.split.labels[index].to(self.device, non_blocking=True)
        drawn: dict[str, Any] = {"seed": self.seed, "epoch": epoch, "index": np.asarray(index)}
        vary: Any = self.vary
        if vary is not None:
            images = vary(images, **drawn)
        if getattr(vary, "mixes", False):
            images, targets = vary.mix(images, targets, self.classes, **drawn)
        return Batch(self.preprocess.normalize(images), targets)

    def order(self, epoch: int) -> Tensor:
        """The order of the samples in an epoch: int64 (N,), a permutation."""
        if self._order is None or self._order[0] != epoch:
            shuffled = torch.randperm(len(self.split), generator=seeding.generator(self.seed, "order", epoch))
            self._order = (epoch, shuffled)
        return self._order[1]
