"""The network that a report is about, with its held-out images."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.evaluation import Evaluation
from striate.evaluation.samples import Samples
from striate.inspection import ArchitectureTable, describe
from striate.inspection.structure.inputs import like
from striate.preprocess import Preprocess
from striate.runs import Trained
from striate.types import Progress


@dataclass(frozen=True)
class InspectedRun:
    """A trained network with held-out images and its evaluation.

    Args:
        trained: the network, in evaluation mode, on the device.
        samples, evaluation: the held-out images and the network's predictions for them; both `None` without any.
        against: name, network and preprocessing of each run to compare it with.
        device: "auto", "cpu" or "cuda".
        progress: called with what is being done, how much of it is done, and how much there is.
    """

    trained: Trained
    samples: Samples | None
    evaluation: Evaluation | None
    against: tuple[tuple[str, nn.Module, Preprocess], ...]
    device: str
    progress: Progress

    @property
    def model(self) -> nn.Module:
        """The network's module."""
        return self.trained.module

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its images."""
        return self.trained.input_shape

    @cached_property
    def table(self) -> ArchitectureTable:
        """The architecture table."""
        return describe(self.model, self.shape)

    def affordable(self, multiply_adds: int, least: int, most: int, passes: int = 1) -> int:
        """Number of images that a budget of multiply-adds allows, with `passes` through the network for each."""
        return max(least, min(most, multiply_adds // (passes * max(self.table.work, 1))))

    def inputs(self, images: Tensor) -> Tensor:
        """The network's input for images, uint8 (N, H, W, C)."""
        return self.trained.preprocess.normalize(images.to(like(self.model).device))

    def most_confident(self, most: int) -> list[int]:
        """Positions of the most confident correct predictions, then of the most confident mistakes, one for each class.

        Raises:
            ArgumentError: if the probabilities are not finite.
        """
        if self.evaluation is None:
            return []
        found = self.evaluation
        if not bool(found.probabilities.isfinite().all()):
            raise ArgumentError("The probabilities for these images are not finite.")
        order = found.probabilities.max(dim=1).values.sort(descending=True, stable=True).indices
        right = (found.predicted == found.labels)[order]
        hits, misses = (self._one_per_class(order[each]) for each in (right, ~right))
        wrong = min(len(misses), max(most // 2, most - len(hits)))
        return hits[: most - wrong] + misses[:wrong]

    def _one_per_class(self, positions: Tensor) -> list[int]:
        labels = self.evaluation.labels if self.evaluation else torch.empty(0)
        first: dict[int, int] = {}
        for position in positions.tolist():
            first.setdefault(int(labels[position]), position)
        return list(first.values())
