"""Augmentation policies: texts such as "flip,shift=0.1", parsed and applied to batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate import seeding
from striate.augmentation.colour import Images, components, draw_lighting
from striate.augmentation.geometry import affine
from striate.augmentation.transforms import TRANSFORMS, Mixing, Transform
from striate.errors import ArgumentError, ShapeError, unknown

# Policies with a name.
NAMED = {
    "none": "",
    # The planar affine distortions of LeCun et al. 1998, section III.A: translation, scaling, squeezing and horizontal
    # shearing. The paper gives no ranges; with these, 0.69 % test error on MNIST (three seeds; the paper: 0.8 %).
    "lenet5": "shift=0.07,zoom=0.12,squeeze=0.12,shear=0.2",
    # Krizhevsky et al. 2012, section 4.1: 224×224 patches of 256×256 images, mirror images, lighting. Here images come
    # at the network's size, so a patch with 224/256 of each side is enlarged to it; `--tta ten-crop` is the same at
    # test time.
    "alexnet": "crop=0.125,flip,lighting=0.1",
}


@dataclass(frozen=True)
class Policy:
    """Transforms with their strengths, applied in the order written, and then mixtures.

    Draws depend on (seed, epoch, each sample's own index), so the same image is augmented in the same way whatever
    batch it is in, and several batches of small images are best augmented at once. Only mixtures depend on the batch.

    >>> images = data.train.images[:2]
    >>> parse("flip=1")(images).equal(images.flip(2))
    True
    """

    steps: tuple[tuple[str, Transform, float], ...]
    mixtures: tuple[tuple[str, Mixing, float], ...] = ()

    @property
    def is_active(self) -> bool:
        """True if the policy has any step or mixture."""
        return bool(self.steps or self.mixtures)

    @property
    def mixes(self) -> bool:
        """True if the policy has mixtures, so that `mix` must be called."""
        return bool(self.mixtures)

    def fitted(self, images: Images) -> "Policy":
        """Return the policy fitted to the training images: "lighting" needs their colour components.

        Args:
            images: uint8 (N, H, W, C), in memory or mapped from a file; up to 2,000 of them, evenly spaced, are read.
        """
        if all(name != "lighting" for name, _, _ in self.steps):
            return self
        draw = partial(draw_lighting, components(images))
        steps = (
            (name, replace(transform, draw=draw) if name == "lighting" else transform, strength)
            for name, transform, strength in self.steps
        )
        return replace(self, steps=tuple(steps))

    def __call__(
        self, images: Tensor, *, seed: int = 0, epoch: int = 0, index: np.ndarray | Tensor | Sequence[int] | None = None
    ) -> Tensor:
        """Augment a batch.

        Args:
            images: uint8 (N, H, W, C), C being 1 or 3, on any device.
            seed, epoch: what the draws depend on.
            index: int64 (N,), the samples' positions in the training split; 0 … N − 1 if not given.

        Returns:
            uint8 (N, H, W, C); the input is not changed (and is what returns where there are no steps).

        Raises:
            ArgumentError: if the policy has "lighting" and is not fitted, or images have other channels than fit it.
            ShapeError: for images of another layout or type, or an index of another length.
        """
        index = _checked(images, index)
        matrix = None
        for (_, transform, strength), draws in zip(
            self.steps, _draws(self.steps, seed, "augment", epoch, index), strict=True
        ):
            parameters = transform.draw(draws, strength)
            if transform.apply is affine:  # neighbours are multiplied first: resampling twice would blur twice
                matrix = parameters if matrix is None else matrix @ parameters
                continue
            if matrix is not None:
                images, matrix = affine(images, matrix), None
            images = transform.apply(images, parameters)
        return images if matrix is None else affine(images, matrix)

    def mix(
        self,
        images: Tensor,
        labels: Tensor,
        classes: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        index: np.ndarray | Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mix the images of a batch, each with the one before it, and their labels in the same shares.

        Args:
            images: uint8 (N, H, W, C), on any device.
            labels: int64 (N,), on the same.
            classes: how many there are.
            seed, epoch, index: as in a call; how much is mixed depends on them, and with what on the batch.

        Returns:
            uint8 (N, H, W, C) and float32 (N, classes), each row of sum 1.

        Raises:
            ShapeError: as in a call.
        """
        index = _checked(images, index)
        targets = F.one_hot(labels, classes).float()
        for (_, mixing, strength), draws in zip(
            self.mixtures, _draws(self.mixtures, seed, "mix", epoch, index), strict=True
        ):
            images, targets = mixing.apply(images, targets, mixing.draw(draws, strength))
        return images, targets


def _checked(images: Tensor, index: np.ndarray | Tensor | Sequence[int] | None) -> np.ndarray:
    """Check a batch and return its index as int64 (N,)."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[3] not in (1, 3):
        hint = "; permute(0, 2, 3, 1) puts the channels last" if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise ShapeError(f"images of shape {shape}: expected (N, height, width, 1 or 3){hint}.")
    if images.dtype != torch.uint8:
        raise ShapeError(f"images of type {images.dtype}: expected uint8, before they are normalised.")
    positions = np.arange(len(images)) if index is None else np.asarray(index, dtype=np.int64)
    if positions.shape != (len(images),):
        raise ShapeError(f"index of shape {positions.shape}: expected ({len(images)},), a position for each image.")
    return positions


def _draws(
    steps: tuple[tuple[str, Transform | Mixing, float], ...], seed: int, purpose: str, epoch: int, index: np.ndarray
) -> list[Tensor]:
    """Draw the uniform random numbers of each step, float64 (N, its draws)."""
    if not steps:
        return []
    most = max(transform.draws for _, transform, _ in steps)
    keys = [
        (purpose, name, position, epoch - epoch % 2 if transform.alternates else epoch)
        for position, (name, transform, _) in enumerate(steps)
    ]
    numbers = seeding.uniforms(seed, keys, index=index, draws=most)
    drawn = [each[:, : transform.draws] for each, (_, transform, _) in zip(numbers, steps, strict=True)]
    turned = [bool(transform.alternates and epoch % 2) for _, transform, _ in steps]
    return [(each + 0.5) % 1 if turn else each for each, turn in zip(drawn, turned, strict=True)]


def parse(text: str) -> Policy:
    """Parse a policy from text: comma-separated names, each with an optional "=strength", or names in `NAMED`.

    Raises:
        ArgumentError: for an unknown name, listing those there are, or a strength out of range, saying the range.

    >>> policy = parse("flip,shift=0.1")
    >>> [(name, strength) for name, _, strength in policy.steps]
    [('flip', 0.5), ('shift', 0.1)]
    """
    steps: list[tuple[str, Transform, float]] = []
    mixtures: list[tuple[str, Mixing, float]] = []
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
        if isinstance(transform, Mixing):
            mixtures.append((name, transform, strength))
        else:
            steps.append((name, transform, strength))
    return Policy(tuple(steps), tuple(mixtures))
