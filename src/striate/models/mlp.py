"""Multilayer perceptron: the dense baseline for convolutional networks.

layer   type      units   activation
in      input     H·W·C
hidden  dense     300     ReLU
hidden  dense     100     ReLU
out     dense     classes softmax (in the loss)
"""

from torch import Tensor, nn

from striate.models.registry import Facts, register

HIDDEN = (300, 100)


@register(Facts("mlp", "dense baseline, 300 and 100 hidden units", "LeCun et al. 1998, figure 9 (28×28-300-100-10)"))
class MLP(nn.Module):
    """Two hidden layers: (N, channels, height, width) to logits (N, classes).

    266,610 parameters for 28×28 grey images and 10 classes.
    """

    def __init__(self, classes: int, channels: int, image_size: tuple[int, int]):
        super().__init__()
        first, second = HIDDEN
        self.flatten = nn.Flatten()
        self.hidden1 = nn.Linear(channels * image_size[0] * image_size[1], first)
        self.relu1 = nn.ReLU()
        self.hidden2 = nn.Linear(first, second)
        self.relu2 = nn.ReLU()
        self.output = nn.Linear(second, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch."""
        x = self.flatten(x)  # (N, H·W·C)
        x = self.relu1(self.hidden1(x))  # (N, 300)
        x = self.relu2(self.hidden2(x))  # (N, 100)
        logits: Tensor = self.output(x)
        return logits
