"""Batches as a function of the step: seeded order, variation, normalisation, device."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate import seeding
from striate.data.dataset import Split
from striate.preprocess import Preprocess

Vary = Callable[..., Tensor]


class Batch(NamedTuple):
    """Input and answers of one step: float32 (B, C, H, W), channels-last, and int64 (B,)."""

    inputs: Tensor
    targets: Tensor


class Batches:
    """The training batches of a split, in an order drawn anew each epoch.

    The batch of a step depends on the seed and the step alone, so a run continues anywhere with nothing to restore.
    The last batch of an epoch holds what is left over.

    Args:
        split: what to train on; its images already have the size that `preprocess` says.
        preprocess: how pixels become input.
        batch_size: samples a step.
        seed: what order and variation are drawn from.
        vary: an augmentation policy, called with images, seed, epoch and index; `None` for none.
        device: where the batches go.
    """

    def __init__(
        self,
        split: Split,
        preprocess: Preprocess,
        batch_size: int,
        seed: int,
        vary: Vary | None = None,
        device: torch.device | str = "cpu",
    ):
        self.split = split
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.seed = seed
        self.vary = vary
        self.device = torch.device(device)
        self._order: tuple[int, Tensor] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        index = self.order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        images = self.split.images[index].to(self.device, non_blocking=True)
        if self.vary is not None:
            images = self.vary(images, seed=self.seed, epoch=epoch, index=np.asarray(index))
        targets = self.split.labels[index].to(self.device, non_blocking=True)
        return Batch(self.preprocess.normalize(images), targets)

    def order(self, epoch: int) -> Tensor:
        """The order of the samples in an epoch: int64 (N,), a permutation."""
        if self._order is None or self._order[0] != epoch:
            shuffled = torch.randperm(len(self.split), generator=seeding.generator(self.seed, "order", epoch))
            self._order = (epoch, shuffled)
        return self._order[1]
