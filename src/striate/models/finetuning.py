"""Fine-tuning: the head of a network, freezing of its backbone, and the depth of each parameter; evaluation mode.

Source of layer-wise learning rates: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification",
2018, section 3.2.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.errors import ArgumentError
from striate.models.weights.adapt import AUXILIARY


def head(model: nn.Module) -> nn.Module:
    """Return the head, the layer from features to classes: the last registered one with weights, not auxiliary.

    LeNet-5's prototypes are no parameters, so its head is F6.

    Raises:
        ArgumentError: for a network without weights.

    >>> head(create("resnet18", classes=7))
    Linear(in_features=512, out_features=7, bias=True)
    """
    return _layers(model)[-1][1]


def is_weight(parameter: Tensor) -> bool:
    """Tell whether a parameter is a layer's weights: it has two or more dimensions, and several values an output.

    So biases and the scales of normalisations are none, nor is layer scale, (channels, 1, 1).

    >>> layer = nn.Linear(3, 2)
    >>> is_weight(layer.weight), is_weight(layer.bias)
    (True, False)
    """
    return parameter.ndim > 1 and tuple(parameter.shape[1:]) != (1, 1)


def freeze_backbone(model: nn.Module) -> None:
    """Freeze the backbone: no parameter outside the head has a gradient afterwards.

    Batch normalisation would still update its statistics in training mode: see `frozen_norms`.

    >>> network = create("resnet20", image_size=32)
    >>> freeze_backbone(network)
    >>> [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    ['fc.weight', 'fc.bias']
    """
    trained = head(model)
    model.requires_grad_(False)
    trained.requires_grad_(True)


def freeze_norms(model: nn.Module) -> None:
    """Freeze every batch normalisation: its scale and shift have no gradient afterwards; see `frozen_norms`.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    >>> freeze_norms(network)
    >>> [parameter.requires_grad for parameter in network.parameters()]
    [True, True, False, False]
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.requires_grad_(False)


def frozen_norms(model: nn.Module) -> list[nn.Module]:
    """Return the batch normalisations whose parameters are all frozen.

    In training they belong in evaluation mode, or their running statistics, which are part of what was learnt, drift.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    >>> freeze_norms(network)
    >>> frozen_norms(network)
    [BatchNorm2d(2, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)]
    """
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and module.weight is not None
        and not any(parameter.requires_grad for parameter in module.parameters())
    ]


def depths(model: nn.Module) -> dict[str, float]:
    """Return the relative depth of each parameter, by name: 0 for the first layer, 1 for the head.

    Layers with weights are counted in the order in which they are registered; biases, scales and normalisations belong
    to the layer before them. A learning rate of rate × factor ** (1 − depth) grows from rate × factor in the first
    layer to rate in the head in equal ratios.

    >>> depths(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)))["2.weight"]
    0.5
    """
    starts = {path for path, _ in _layers(model)}
    depth, found = -1, {}
    for path, module in model.named_modules():
        depth += path in starts
        for name, _ in module.named_parameters(prefix=path, recurse=False):
            found[name] = max(depth, 0) / (len(starts) - 1) if len(starts) > 1 else 1.0
    return found


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return path and module of every layer that has weights of its own, without those of auxiliary classifiers."""
    found = [
        (path, module)
        for path, module in model.named_modules()
        if path.split(".")[0] not in AUXILIARY
        and any(is_weight(parameter) for parameter in module.parameters(recurse=False))
    ]
    if not found:
        raise ArgumentError(f"{type(model).__name__} has no layer with weights, so there is no head to train.")
    return found


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set every module to evaluation mode inside the block, and restore each one's mode after it.

    >>> network = nn.Dropout().train()
    >>> with evaluating(network):
    ...     print(network.training)
    False
    >>> network.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode
