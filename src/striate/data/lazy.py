"""Lazily decoded images, for data sets that fit neither into memory nor into the cache."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError

if TYPE_CHECKING:
    from striate.data.images.decoder_pool import Decoders
    from striate.data.images.image_ref import ImageRef

_LARGE = 2 * 10**9  # bytes

Fetch = Callable[[np.ndarray], Tensor]


class LazyImages:
    """A stand-in for a uint8 tensor (N, H, W, C) whose images are made when they are indexed.

    Args:
        shape: (N, H, W, C).
        fetch: from positions, int64 (n,) in 0 … N − 1, to uint8 (n, H, W, C).

    >>> black = lambda places: torch.zeros(len(places), 8, 8, 1, dtype=torch.uint8)
    >>> LazyImages((1000, 8, 8, 1), black)[:5].shape
    torch.Size([5, 8, 8, 1])
    """

    dtype = torch.uint8
    ndim = 4

    def __init__(self, shape: Sequence[int], fetch: Fetch):
        self.shape = torch.Size(shape)
        self._fetch = fetch

    @property
    def nbytes(self) -> int:
        """The size in bytes of all images together."""
        return self.shape.numel()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """Return the images at these positions: uint8 (n, H, W, C), or (H, W, C) for a single number.

        Raises:
            IndexError: if there is no such image.
        """
        if isinstance(index, slice):
            return self._fetch(np.arange(*index.indices(len(self))))
        positions = np.atleast_1d(np.asarray(index, dtype=np.int64))
        if len(positions) and not -len(self) <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"position {index} in {len(self)} images")
        images = self._fetch(np.where(positions < 0, positions + len(self), positions))
        return images[0] if np.ndim(index) == 0 else images

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield all images in order, `size` at a time; the next ones are made while these are used."""
        with ThreadPoolExecutor(1) as prefetch:
            starts = range(0, len(self), size)
            pending = [prefetch.submit(self.__getitem__, slice(start, start + size)) for start in starts[:1]]
            for start in starts:
                images = pending.pop().result()
                if start + size < len(self):
                    pending.append(prefetch.submit(self.__getitem__, slice(start + size, start + 2 * size)))
                yield images


Images: TypeAlias = Tensor | LazyImages


def decoded(image_refs: "Sequence[ImageRef]", decoders: "Decoders") -> LazyImages:
    """Return lazy images of these references, each of which has been decoded once without a problem."""

    def fetch(positions: np.ndarray) -> Tensor:
        wanted = [image_refs[position] for position in positions]
        chunk = decoders.decode(wanted)
        for position, reason in chunk.problems.items():
            raise DataError(
                f"{wanted[position].label} has changed since loading and can't be used any more: {reason}; "
                "restore the original file."
            )
        return torch.from_numpy(chunk.pixels)

    return LazyImages((len(image_refs), *decoders.shape), fetch)


def is_large(shape: Sequence[int]) -> bool:
    """Return whether images of this shape, (N, H, W, C), are too large to be made all at once."""
    return math.prod(shape) > _LARGE


def applied(function: Callable[[Tensor], Tensor], images: Images, shape: Sequence[int]) -> LazyImages:
    """Apply `function` lazily to `images`; it turns each (h, w, c) into an image of `shape`, (H, W, C)."""
    return LazyImages((len(images), *shape), lambda positions: function(images[torch.from_numpy(positions)]))


def part(images: Images, positions: range) -> Images:
    """The images at consecutive positions, as a view."""
    if len(positions) == len(images):
        return images
    if isinstance(images, Tensor):
        return images[positions.start : positions.stop]
    return LazyImages(
        (len(positions), *images.shape[1:]), lambda places: images[torch.from_numpy(places + positions.start)]
    )


def chosen(images: Images, positions: Tensor) -> Images:
    """The images at these positions, int64 (n,)."""
    if isinstance(images, Tensor):
        return images[positions]
    return LazyImages((len(positions), *images.shape[1:]), lambda places: images[positions[torch.from_numpy(places)]])


def joined(parts: Sequence[Images]) -> Images:
    """Concatenate images of one size, lazily where not all parts are tensors or the result is too large."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
    if len(tensors) == len(parts) and not is_large(shape):
        return torch.cat(tensors)
    ends = np.cumsum([len(part) for part in parts])

    def fetch(positions: np.ndarray) -> Tensor:
        images = torch.empty((len(positions), *shape[1:]), dtype=torch.uint8)
        owners = np.searchsorted(ends, positions, side="right")
        for owner in np.unique(owners):
            (places,) = np.nonzero(owners == owner)
            start = ends[owner] - len(parts[owner])
            images[torch.from_numpy(places)] = parts[owner][torch.from_numpy(positions[places] - start)]
        return images

    return LazyImages(shape, fetch)
