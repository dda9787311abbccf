"""How the weights of ReLU networks start where no paper says it."""

from torch import nn


def he_normal(model: nn.Module, *last: nn.Linear) -> None:
    """Draw every convolution and dense layer as He et al. (2015) do for ReLU networks, by what comes in.

    Biases start at 0, and so do the weights of the `last` layers: the first loss is that of an even guess.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in last:
        nn.init.zeros_(layer.weight)
