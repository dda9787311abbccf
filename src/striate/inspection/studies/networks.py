"""Networks of the experiment on pooling across channels: templates as large as the image, and small filters."""

from collections.abc import Callable

from torch import Tensor, nn

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
