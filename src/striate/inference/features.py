"""Features of images: what a network gives to its last layer."""

import copy

import torch
from torch import Tensor, nn

from striate.data.lazy import Images
from striate.inference.predictor import logits_of
from striate.models import head
from striate.models.antialias import replace_module
from striate.preprocess import Preprocess


def features_of(
    model: nn.Module,
    images: Images,
    preprocess: Preprocess,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Features of images, in evaluation mode: the input of the model's last layer with weights.

    Args:
        model: a network whose last layer is dense, on `device`; it is not changed.
        images: uint8 (N, H, W, C) of the size that `preprocess` says.
        preprocess: how images become input.
        device: where the model is.

    Returns:
        float32 (N, features), on the CPU.

    Raises:
        ArgumentError: for a network without weights.

    >>> features_of(run.model(), data.test.images[:5], run.preprocess).shape
    torch.Size([5, 100])
    """
    return logits_of(backbone(model), images, preprocess, device)


def backbone(model: nn.Module) -> nn.Module:
    """Return a copy of a network without its last layer: from (N, C, H, W) to features (N, features).

    >>> backbone(striate.create("resnet18", channels=3, image_size=64))(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 512])
    """
    last = head(model)
    own = copy.deepcopy(model, {id(last): last})  # the copy shares the head, so that it is found again
    replace_module(own, last, nn.Flatten())
    return own
