"""Whether an attribution depends on what the network learned: it must change when the weights are drawn anew.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", 2018, section 3.
"""

import copy

import torch
from torch import Tensor, nn

from striate import seeding
from striate.errors import ShapeError


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of the model that has learned nothing: every weight drawn anew.

    Each parameter is drawn from the normal distribution that has the mean and the deviation of its own values, so that
    signals keep their size. Buffers stay, as do parameters whose values are all alike.
    """
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if parameter.is_floating_point():
                drawn = torch.randn(parameter.shape, generator=seeding.generator(seed, "randomised", name))
                spread, mean = torch.std_mean(parameter.float(), correction=0)
                parameter.copy_(drawn.to(parameter) * spread + mean)
    return copied


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """How alike two attributions rank the pixels, image by image: Spearman's correlation.

    Values count with their signs. Absolute values of what is multiplied with the image, as integrated gradients are,
    have much of its shape whatever the weights.

    Args:
        first, second: (N, …) of one shape.

    Returns:
        float64 (N,) in [−1, 1]: 1 for the same order, about 0 for unrelated ones, NaN where all values are alike.

    Raises:
        ShapeError: if the shapes differ.
    """
    if first.shape != second.shape or first.dim() < 2:
        raise ShapeError(f"attributions of shapes {tuple(first.shape)} and {tuple(second.shape)} can't be compared.")
    return torch.stack(
        [
            torch.corrcoef(torch.stack([_ranks(a), _ranks(b)]))[0, 1]
            for a, b in zip(first.detach().cpu(), second.detach().cpu(), strict=True)
        ]
    )


def _ranks(values: Tensor) -> Tensor:
    """Places in ascending order; equal values share the mean of theirs."""
    _, place, counts = values.flatten().unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2).double()[place]
