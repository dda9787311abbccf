"""Likeness of templates up to a change: how alike they are once one is rotated, say, by what makes them most alike."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.inspection.studies.changes import Change


@dataclass(frozen=True)
class Likeness:
    """Likeness of templates, as correlations in [−1, 1].

    Args:
        alike: of each pair of templates of one group, the first (a row) after the change that makes it most like the
            second (a column): float32 (groups, templates, templates).
        by: that change's strength, of the same shape.
        within: mean of `alike` over the pairs of used templates of one group.
        across: the same for pairs of templates of different groups.
        unchanged: mean likeness of the pairs of one group as they are.
    """

    alike: Tensor
    by: Tensor
    within: float
    across: float
    unchanged: float


def likeness(templates: Tensor, change: Change, used: Tensor) -> Likeness:
    """Find the change that makes each pair of templates most alike.

    Each template is changed by every strength of `change.between` and correlated with every other, over those pixels of
    the inscribed disc that the changed one still covers.

    Args:
        templates: float32 (groups, templates, side, side).
        change: a map of the plane.
        used: which templates count for the means: bool (groups, templates), of which one group has two.
    """
    groups, each, side, _ = templates.shape
    flat = templates.detach().reshape(-1, 1, side, side)
    axis = (torch.arange(side) - (side - 1) / 2).square()
    disc = (axis[:, None] + axis <= (side / 2) ** 2).float()[None, None]
    found = []
    for strength in change.between:
        given = torch.tensor([strength])
        covered = (change.apply(disc, given) * disc)[0, 0] > 0.999
        changed = change.apply(flat, given.expand(len(flat)))
        found.append(_unit(changed[:, 0, covered]) @ _unit(flat[:, 0, covered]).T)
    alike, place = torch.stack(found).max(0)  # (templates, templates): the row's is changed
    by = torch.tensor(change.between)[place]
    group = torch.arange(len(flat)) // each
    both, same = used.flatten()[:, None] & used.flatten(), group[:, None] == group
    within, across = both & same & ~torch.eye(len(flat), dtype=torch.bool), both & ~same
    still = _unit(flat[:, 0, disc[0, 0] > 0]) @ _unit(flat[:, 0, disc[0, 0] > 0]).T
    own = torch.arange(groups)
    return Likeness(
        alike=alike.reshape(groups, each, groups, each)[own, :, own],
        by=by.reshape(groups, each, groups, each)[own, :, own],
        within=float(alike[within].mean()),
        across=float(alike[across].mean()),
        unchanged=float(still[within].mean()),
    )


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows - rows.mean(1, keepdim=True), dim=1)
