"""Orders in which an epoch passes through its images, drawn from a generator alone."""

import torch
from torch import Tensor


def shuffled(count: int, draw: torch.Generator) -> Tensor:
    """All positions in 0 … count − 1 in an order of which each is equally likely: int64 (count,)."""
    return torch.randperm(count, generator=draw)


def buffered(places: Tensor, buffer: int, draw: torch.Generator) -> Tensor:
    """An order that reads large files from their beginnings to their ends, one after another, mixed by a buffer.

    The files come in a drawn order. Each next image is drawn from the `buffer` images that would be read next, and the
    one that stood there takes the drawn one's place: what WebDataset's `shuffle` does with images, done with their
    positions, so that nothing has to be read to know the order. A buffer of all images is `shuffled`'s Fisher-Yates.

    Args:
        places: int64 (N, 2), the number of each image's file, and where it lies in it.
        buffer: how many images each next one is drawn from, 1 or more.
        draw: the generator.

    Returns:
        int64 (N,): at each step, the position of an image that comes before step + buffer in the order of reading.
    """
    files, numbers = places[:, 0].unique(return_inverse=True)
    turns = torch.randperm(len(files), generator=draw)[numbers]
    within = places[:, 1].argsort(stable=True)
    order = within[turns[within].argsort(stable=True)].tolist()
    chances = torch.rand(len(order), generator=draw, dtype=torch.float64).tolist()
    for step, chance in enumerate(chances):
        other = step + int(chance * min(buffer, len(order) - step))
        order[step], order[other] = order[other], order[step]
    return torch.tensor(order, dtype=torch.int64)
