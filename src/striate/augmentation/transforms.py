"""The transforms of an augmentation policy: what they are, and a table of all by their names.

"trivial" is TrivialAugment (Müller and Hutter 2021): one transform per image, of uniformly drawn strength, nothing to
tune. Each image is left as it is or gets one of the transforms in `EVEN` and `RISING`, all equally likely. They are
Striate's own and not the paper's; mirroring is not among them, since it makes some labels wrong: "flip,trivial" has
both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from striate.augmentation import colour, geometry, mixing


@dataclass(frozen=True)
class Transform:
    """A random transform of single images.

    Args:
        draws: the number of uniform numbers per sample.
        default, bounds, unit: the default strength, its range, and its meaning. A strength of 0 changes nothing.
        draw: float64 (N, draws) in [0, 1) and the strength, to parameters.
        apply: uint8 (N, H, W, C) and the parameters, to uint8 (N, H, W, C).
        alternates: whether every second epoch's numbers are those of the epoch before, shifted by a half: u becomes
            u ± ½. An effect of half of the numbers then happens to each image in one epoch of every two.

    >>> transform = TRANSFORMS["shift"]
    >>> transform.draws, transform.bounds, transform.unit
    (2, (0, 1), 'the largest move, as a share of the side')
    """

    draws: int
    default: float
    bounds: tuple[float, float]
    unit: str
    draw: Callable[[Tensor, Any], Any]
    apply: Callable[[Tensor, Any], Tensor]
    alternates: bool = False


@dataclass(frozen=True)
class Mixing:
    """A random mixing of two images and their labels.

    Args:
        draws, default, bounds, unit, draw: as in `Transform`.
        apply: images, uint8 (N, H, W, C), targets, float32 (N, classes), and the parameters, to images and targets.
        alternates: never.

    >>> TRANSFORMS["mixup"].unit
    'α: near 0 one image, from 1 on often half of each'
    >>> parse("mixup").mix(data.train.images[:2], torch.tensor([0, 1]), classes=2)[1].sum(1)
    tensor([1., 1.])
    """

    draws: int
    default: float
    bounds: tuple[float, float]
    unit: str
    draw: Callable[[Tensor, Any], Any]
    apply: Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]
    alternates: bool = False


# TrivialAugment's transforms that draw uniformly within ± their strength themselves, with the largest strengths.
# "shift" moves most of a picture out at once, in both directions, so it stays below the paper's third of a side.
EVEN = {
    "shift": 0.2,
    "rotate": 30.0,
    "zoom": 0.4,
    "squeeze": 0.4,
    "shear": 0.3,
    "brightness": 0.9,
    "contrast": 0.9,
    "saturation": 0.9,
}
# Those that use their strength as it is, so it is drawn from 0 to the largest, here.
RISING = {"erase": 0.5, "noise": 0.1}

Part = tuple[Tensor, Transform, object]  # positions in the batch, int64 (n,), and the transform of those images


def trivial(table: Mapping[str, Transform]) -> Transform:
    """Return TrivialAugment, the transform that applies one of those in `table` to each image."""
    members = [(table[name], widest, False) for name, widest in EVEN.items()]
    members += [(table[name], widest, True) for name, widest in RISING.items()]

    def draw(uniform: Tensor, strength: float) -> list[Part]:
        choice = (uniform[:, 0] * (len(members) + 1)).long()  # the last is to leave the image alone
        parts: list[Part] = []
        for number, (transform, widest, rising) in enumerate(members):
            rows = torch.nonzero(choice == number)[:, 0]
            if len(rows):
                scaled = widest * strength * (uniform[rows, 1:2] if rising else 1)
                parts.append((rows, transform, transform.draw(uniform[rows, 2 : 2 + transform.draws], scaled)))
        return parts

    return Transform(
        draws=2 + max(transform.draws for transform, _, _ in members),
        default=1,
        bounds=(0, 1),
        unit="1 draws from the whole range of each transform, 0.5 from half of it",
        draw=draw,
        apply=_apply_parts,
    )


def _apply_parts(images: Tensor, parts: list[Part]) -> Tensor:
    augmented = images.clone()
    for rows, transform, parameters in parts:
        there = rows.to(images.device)
        augmented[there] = transform.apply(images[there], parameters)
    return augmented


_PLANE = {
    # An image and its mirror image in turn: of two epochs of random flips, half of the images look the same in both,
    # and the second teaches less (Jordan 2024, section 3.6).
    "flip": Transform(
        1, 0.5, (0, 1), "the share of images mirrored", geometry.draw_flip, geometry.flip, alternates=True
    ),
    "shift": Transform(2, 0.1, (0, 1), "the largest move, as a share of the side", geometry.draw_shift, geometry.shift),
    "crop": Transform(
        2,
        0.125,
        (0, 0.9),
        "the share of each side cut away, at a random place; the rest is enlarged",
        geometry.draw_crop,
        geometry.crop,
    ),
    "resized-crop": Transform(
        4,
        0.92,
        (0, 0.99),
        "the largest share of the area cut away, at a random place; the rest is enlarged and stretched",
        geometry.draw_resized_crop,
        geometry.crop,
    ),
    "rotate": Transform(1, 10, (0, 180), "the largest angle, in degrees", geometry.draw_rotate, geometry.affine),
    "zoom": Transform(
        1, 0.1, (0, 3), "0.1 means a tenth larger or smaller at most", geometry.draw_zoom, geometry.affine
    ),
    "squeeze": Transform(
        1,
        0.1,
        (0, 3),
        "0.1 means a tenth narrower and taller at most, or the reverse",
        geometry.draw_squeeze,
        geometry.affine,
    ),
    "shear": Transform(1, 0.1, (0, 3), "the largest slope of a vertical line", geometry.draw_shear, geometry.affine),
}
_LIGHT = {
    "brightness": Transform(
        1, 0.2, (0, 1), "0.2 means a fifth brighter or darker at most", colour.draw_factor, colour.brightness
    ),
    "contrast": Transform(
        1, 0.2, (0, 1), "0.2 means a fifth more or less at most", colour.draw_factor, colour.contrast
    ),
    "saturation": Transform(
        1, 0.2, (0, 1), "0.2 means a fifth more or less colour at most", colour.draw_factor, colour.saturation
    ),
    "noise": Transform(
        1, 0.02, (0, 1), "the standard deviation, as a share of full intensity", colour.draw_noise, colour.noise
    ),
    "lighting": Transform(
        3,
        0.1,
        (0, 10),
        "the standard deviation along the training set's colour components, in eigenvalues",
        colour.draw_unfitted,
        colour.lighting,
    ),
    "lighting-imagenet": Transform(
        3,
        0.1,
        (0, 10),
        "the standard deviation along ImageNet's colour components, in eigenvalues",
        partial(colour.draw_lighting, colour.IMAGENET),
        colour.lighting,
    ),
    "erase": Transform(
        2, 0.25, (0, 1), "the side of the erased box, as a share of the image's", mixing.draw_erase, mixing.erase
    ),
}
_MIXTURES = {
    "mixup": Mixing(
        2, 0.2, (0, 100), "α: near 0 one image, from 1 on often half of each", mixing.draw_mixup, mixing.mixup
    ),
    "cutmix": Mixing(
        4, 1, (0, 100), "α: near 0 no box or all of the image, 1 any area", mixing.draw_cutmix, mixing.cutmix
    ),
}

#: All augmentations by name, as policies call them.
#:
#: >>> sorted(TRANSFORMS)[:4], TRANSFORMS["flip"].unit
#: (['brightness', 'contrast', 'crop', 'cutmix'], 'the share of images mirrored')
TRANSFORMS: dict[str, Transform | Mixing] = {**_PLANE, **_LIGHT, "trivial": trivial(_PLANE | _LIGHT), **_MIXTURES}
