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

import torch
from torch import Tensor

from striate.augmentation.geometry import crop, shift
from striate.errors import unknown

View = tuple[float, Tensor]  # a weight, and the images: uint8 (N, H, W, C)

_STEP = 32  # a shift is this part of the side
_SIDE = 224 / 256  # of a crop, as a share of the image's


def views(text: str) -> Callable[[Tensor], Iterator[View]]:
    """Return the function from a batch, uint8 (N, H, W, C), to its views with their weights, whose sum is 1.

    Args:
        text: names in `VIEWS`, separated by commas: "flip,shifts" are all shifts of both mirror images.

    Raises:
        ArgumentError: for an unknown name, listing those there are.

    >>> [(weight, view.shape) for weight, view in views("flip")(data.test.images[:2])]
    [(0.5, torch.Size([2, 8, 8, 1])), (0.5, torch.Size([2, 8, 8, 1]))]
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in VIEWS:
            raise unknown("test-time augmentation", name, VIEWS)
    return partial(_combined, names)


def _combined(names: Sequence[str], images: Tensor) -> Iterator[View]:
    """Yield all combinations: the views of the first kind, each in all views of the others."""
    for weight, view in VIEWS[names[0]](images):
        if len(names) == 1:
            yield weight, view
        else:
            yield from ((weight * inner, each) for inner, each in _combined(names[1:], view))


def _none(images: Tensor) -> Iterator[View]:
    yield 1.0, images


def _flip(images: Tensor) -> Iterator[View]:
    yield 0.5, images
    yield 0.5, images.flip(2)


def _shifts(images: Tensor) -> Iterator[View]:
    yield 0.5, images
    sides = torch.tensor(images.shape[1:3], dtype=torch.float64)
    step = (sides / _STEP).round().clamp(min=1) / sides
    for sign in (-1, 1):
        yield 0.25, shift(images, (sign * step).expand(len(images), 2))


def _ten_crop(images: Tensor) -> Iterator[View]:
    rest = 1 - _SIDE
    for left, top in ((0, 0), (rest, 0), (0, rest), (rest, rest), (rest / 2, rest / 2)):
        box = torch.tensor([left, top, _SIDE, _SIDE], dtype=torch.float64)
        part = crop(images, box.expand(len(images), 4))
        yield 0.1, part
        yield 0.1, part.flip(2)


#: Views of test-time augmentation by name: each yields a weight and what is to be averaged with it.
#:
#: >>> list(VIEWS)
#: ['none', 'flip', 'shifts', 'ten-crop']
VIEWS = {"none": _none, "flip": _flip, "shifts": _shifts, "ten-crop": _ten_crop}
