"""Networks of the experiment on pooling across channels, and the likeness of their templates up to a change.

Templates are as large as the image; two of the networks have small filters instead. How alike two templates are is
asked once one is rotated, say, by what makes them most alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.inspection.studies.changes import Change
from striate.layers import DepthwiseMaxPool2d, MaxPool2d

GROUP = 8  # templates of a class
HOTTEST = 2.0  # the maximum's temperature as training begins
FILTERS, FILTER_GROUP, CHANNELS = 32, 4, 20  # of the convolutional networks
EQUAL_FILTERS = 11  # that give the network without groups as many parameters, but for 6


class TemplateNet(nn.Module):
    """Templates as large as the image, and a readout of their responses: (N, 1, side, side) to logits (N, classes)."""

    def __init__(self, side: int, templates: int, readout: nn.Module):
        super().__init__()
        self.templates, self.readout = nn.Linear(side * side, templates), readout
        nn.init.normal_(self.templates.weight, std=0.05)
        nn.init.zeros_(self.templates.bias)

    def responses(self, x: Tensor) -> Tensor:
        """Responses of the templates: (N, templates, 1, 1)."""
        return self.templates(x.flatten(1))[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of a batch."""
        return self.readout(self.responses(x)).flatten(1)


class FilterNet(nn.Module):
    """Network of two convolutions, (N, 1, side, side) to logits (N, classes), with grouped pooling if `group` > 1."""

    def __init__(self, side: int, classes: int, filters: int, group: int):
        super().__init__()
        self.conv1 = nn.Conv2d(1, filters, 5, padding="same")
        self.group = DepthwiseMaxPool2d(group) if group > 1 else nn.Identity()
        self.relu1, self.pool1 = nn.ReLU(), MaxPool2d(2)
        self.conv2 = nn.Conv2d(filters // group, CHANNELS, 3, padding="same")
        self.relu2, self.pool2 = nn.ReLU(), MaxPool2d(2)
        self.flatten, self.output = nn.Flatten(), nn.Linear(CHANNELS * (side // 4) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of a batch."""
        x = self.pool1(self.relu1(self.group(self.conv1(x))))  # (N, filters / group, side / 2, side / 2)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, 20, side / 4, side / 4)
        return self.output(self.flatten(x))


def networks(side: int, classes: int) -> dict[str, Callable[[], nn.Module]]:
    """The five networks of the experiment by name, each made with fresh weights."""
    many = classes * GROUP
    return {
        f"maximum over groups of {GROUP} templates": lambda: TemplateNet(
            side, many, DepthwiseMaxPool2d(GROUP, temperature=HOTTEST)
        ),
        "as many templates, linear readout": lambda: TemplateNet(side, many, nn.Conv2d(many, classes, 1)),
        "one template a class": lambda: TemplateNet(side, classes, nn.Identity()),
        "5×5 filters, with depthwise max pooling": lambda: FilterNet(side, classes, FILTERS, FILTER_GROUP),
        "5×5 filters, without, equal parameters": lambda: FilterNet(side, classes, EQUAL_FILTERS, 1),
    }


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
