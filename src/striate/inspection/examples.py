"""Example images of a split: those most similar to an image, and those that excite a unit most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data import Split
from striate.inspection.features import Excitation, capture, excitations, last_weighted, output_of
from striate.inspection.structure.inputs import layer_at
from striate.models import evaluating
from striate.preprocess import Preprocess


@dataclass(frozen=True)
class Example:
    """One example image.

    Args:
        pixels: uint8 (height, width, channels).
        label: its class.
        file: where it came from, if it has a file.
        value: how near it is, or how much it excites the unit.
        place: where on the feature map, (row, column), if the unit is a channel.
    """

    pixels: np.ndarray
    label: str
    file: str
    value: float
    place: tuple[int, int] | None = None


class Examples:
    """Example images with their embeddings and unit excitations, from one pass through the network.

    Args:
        model: the trained network.
        split: the images, of the size that `preprocess` says.
        classes: the names of its labels.
        preprocess: how they become input.
        most: how many to use; of more, evenly spaced ones.
        device: where the model is.
        layer, units: the layer and those of its units whose excitations are noted; none if `layer` is `None`.
    """

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        classes: Sequence[str],
        preprocess: Preprocess,
        most: int,
        device: torch.device,
        layer: str | None = None,
        units: Sequence[int] = (),
    ):
        self._split, self._classes = split, classes
        self.available = len(split)
        self._index = torch.arange(min(most, self.available)) * self.available // min(most, self.available)
        self.images = preprocess.conform_all(split.images[self._index])
        self._preprocess, self._model, self._device = preprocess, model, device
        self._head = last_weighted(model, (preprocess.channels, preprocess.height, preprocess.width))
        embeddings: list[Tensor] = []
        self._excited: dict[int, list[Excitation]] = {unit: [] for unit in units if layer}
        layers = (layer,) if layer else ()
        with evaluating(model), torch.no_grad(), capture(model, *layers) as made:
            for start in range(0, len(self.images), 64):
                embeddings.append(self._embedding(preprocess.normalize(self.images[start : start + 64].to(device))))
                for unit, found in self._excited.items():
                    found += excitations(output_of(made, layer or "", model), unit, start)
        self._embeddings = torch.cat(embeddings)

    @property
    def units(self) -> list[int]:
        """The units whose excitations were recorded."""
        return list(self._excited)

    def __len__(self) -> int:
        return len(self.images)

    def nearest(self, image: Tensor, most: int) -> list[Example]:
        """The most similar images, most similar first: by the cosine similarity of their embeddings.

        Args:
            image: float (1, channels, height, width), on the model's device.
            most: how many at most.
        """
        with evaluating(self._model), torch.no_grad():
            cosines = F.cosine_similarity(self._embeddings, self._embedding(image))
        best = cosines.sort(descending=True, stable=True)
        return [
            self._example(number, value)
            for number, value in zip(best.indices[:most].tolist(), best.values[:most].tolist(), strict=True)
        ]

    def exciting(self, unit: int, most: int) -> list[Example]:
        """The images that excite a unit most, the most exciting first."""
        best = sorted(self._excited[unit], key=lambda each: -each.value)[:most]
        return [self._example(each.image, each.value, each.place) for each in best]

    def _embedding(self, images: Tensor) -> Tensor:
        """The input of the last weighted layer: float32 (N, features), on the CPU."""
        taken: list[Tensor] = []

        def catch(module: nn.Module, args: Any) -> None:
            taken[:] = [args[0].flatten(1).float().cpu()]

        handle = layer_at(self._model, self._head).register_forward_pre_hook(catch)
        try:
            self._model(images)
        finally:
            handle.remove()
        return taken[0]

    def _example(self, number: int, value: float, place: tuple[int, int] | None = None) -> Example:
        split, position = self._split, int(self._index[number])
        return Example(
            self.images[number].numpy(),
            self._classes[int(split.labels[position])],
            str(split.files[position]) if split.files else "",
            value,
            place,
        )
