"""Networks whose batch normalisations do something, for tests that fold them into convolutions."""

import torch
from torch import nn


def disturb_norms(model: nn.Module) -> nn.Module:
    """Give all batch normalisations of a model statistics and weights that are not 0 and 1, by seed 0; return it."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for each in (module.running_mean, module.bias):
                each.data.normal_(std=0.2)
            for each in (module.running_var, module.weight):
                each.data.uniform_(0.5, 1.5)
    return model
