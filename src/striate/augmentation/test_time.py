"""Test-time augmentation: several views of each image, whose probabilities are averaged.

"flip": the image and its mirror image. For classes that keep their label in a mirror, so not for digits or letters.
"shifts": the image, and with half its weight each the image moved by a 32nd of its sides (one pixel, if they are
    shorter than 48) up and left, and down and right. Together with "flip" these are the six views and weights of Jordan
    2024 ("94 % on CIFAR-10 in 3.29 seconds", section 3.5), on images of 32 pixels.
"ten-crop": the four corners and the centre, 224/256 of each side, and their mirror images (Krizhevsky et al. 2012,
    section 4.1). Images come at the network's size and not at 256/224 of it, so the parts are enlarged to it. This is
    the counterpart of training with "alexnet".
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, product
from typing import NamedTuple

import torch
from torch import Tensor

from striate.augmentation.geometry import crop, shift
from striate.errors import unknown

ROUNDING = 1e-6  # of sums of probabilities

_STEP = 32  # a shift is this part of the side
_SIDE = 224 / 256  # of a crop, as a share of the image's


class View(NamedTuple):
    """One view of test-time augmentation: its weight in the average, and how it is made of a batch."""

    weight: float
    make: Callable[[Tensor], Tensor]


def views(text: str) -> Callable[[Tensor], Iterator[tuple[float, Tensor]]]:
    """Return the function from a batch, uint8 (N, H, W, C), to its views with their weights, whose sum is 1.

    The heaviest views come first.

    Args:
        text: names in `VIEWS`, separated by commas: "flip,shifts" are all shifts of both mirror images.

    Raises:
        ArgumentError: for an unknown name, listing those there are.

    >>> [(weight, view.shape) for weight, view in views("flip")(data.test.images[:2])]
    [(0.5, torch.Size([2, 8, 8, 1])), (0.5, torch.Size([2, 8, 8, 1]))]
    """
    each = view_list(text)
    return lambda images: ((view.weight, view.make(images)) for view in each)


def view_list(text: str) -> list[View]:
    """The views, from the heaviest to the lightest; see `views`."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in VIEWS:
            raise unknown("test-time augmentation", name, VIEWS)
    return sorted(map(_combined, product(*(VIEWS[name] for name in names))), key=lambda view: -view.weight)


def deciding(each: Sequence[View]) -> int:
    """Return the least number of views that can decide an image's class: the heaviest, with over half of the weight."""
    totals = accumulate(view.weight for view in each)
    return next(number for number, total in enumerate(totals, start=1) if number == len(each) or total > 0.5 + ROUNDING)


def _combined(views: Sequence[View]) -> View:
    """The view that one of each kind give together, one after another."""
    weight = 1.0
    for view in views:
        weight *= view.weight
    return View(weight, partial(_made, [view.make for view in views]))


def _made(steps: Sequence[Callable[[Tensor], Tensor]], images: Tensor) -> Tensor:
    for step in steps:
        images = step(images)
    return images


def _same(images: Tensor) -> Tensor:
    return images


def _mirrored(images: Tensor) -> Tensor:
    return images.flip(2)


def _shifted(images: Tensor, sign: int) -> Tensor:
    sides = torch.tensor(images.shape[1:3], dtype=torch.float64)
    step = (sides / _STEP).round().clamp(min=1) / sides
    return shift(images, (sign * step).expand(len(images), 2))


def _cropped(images: Tensor, left: float, top: float, mirror: bool) -> Tensor:
    box = torch.tensor([left, top, _SIDE, _SIDE], dtype=torch.float64)
    part = crop(images, box.expand(len(images), 4))
    return part.flip(2) if mirror else part


_REST = 1 - _SIDE
_CORNERS = ((0, 0), (_REST, 0), (0, _REST), (_REST, _REST), (_REST / 2, _REST / 2))

#: Views of test-time augmentation by name, each with its weight in the average.
#:
#: >>> list(VIEWS)
#: ['none', 'flip', 'shifts', 'ten-crop']
VIEWS = {
    "none": (View(1.0, _same),),
    "flip": (View(0.5, _same), View(0.5, _mirrored)),
    "shifts": (View(0.5, _same), *(View(0.25, partial(_shifted, sign=sign)) for sign in (-1, 1))),
    "ten-crop": tuple(
        View(0.1, partial(_cropped, left=left, top=top, mirror=mirror))
        for left, top in _CORNERS
        for mirror in (False, True)
    ),
}
