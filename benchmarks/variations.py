"""Variations of quicknet and of the recipe `fast`, one change each, for `benchmarks.ablation`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data.loader import Batch, Loader
from striate.layers import GlobalAvgPool2d, WhiteningConv2d
from striate.models.initialization import evenly_spaced, fit
from striate.models.quicknet import LOGIT_SCALE, WIDTHS, QuickNet, Unit
from striate.training import Training

Network = Callable[[QuickNet, Tensor], None]


@dataclass(frozen=True)
class Variation:
    """Variation of one thing.

    Args:
        name: its name in the table.
        settings: changed settings of the recipe.
        width: channels of the network, as a multiple of the model's own.
        network: changes the fresh network, given some training images, float32 (N, C, H, W), normalised.
        training: changes the training before its first step.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    width: float = 1
    network: Network = lambda network, images: None
    training: Callable[[Training], None] = lambda training: None

    def build(self, model: str, classes: int, image: tuple[int, int, int], images: Tensor) -> QuickNet:
        """Build the network for images of (channels, height, width), initialised from PyTorch's current generator."""
        channels, height, width = image
        narrow, middle, wide = (int(self.width * width) for width in WIDTHS[model])
        network = QuickNet(model, (narrow, middle, wide), classes, channels, (height, width), "small")
        fit(network, images)
        self.network(network, images)
        return network


# ------------------------------------------------------------------------------------------------------- the network


def _units(network: QuickNet) -> list[Unit]:
    return [module for module in network.modules() if isinstance(module, Unit)]


def _set_first_inputs(network: QuickNet, channels: int) -> None:
    """Replace the first unit's convolution by one with so many input channels."""
    first = _units(network)[0]
    first.conv = nn.Conv2d(channels, first.conv.out_channels, 3, padding=1, bias=False)


def _norms(network: QuickNet) -> list[nn.BatchNorm2d]:
    return [unit.norm for unit in _units(network)]


def _pool_last(network: QuickNet, images: Tensor) -> None:
    """Use the usual order: convolution, batch norm, ReLU, pooling."""
    network.pool2, network.relu2 = nn.Identity(), nn.Sequential(network.relu2, network.pool2)
    for unit in _units(network):
        if unit.pool is not None:
            unit.relu, unit.pool = nn.Sequential(unit.relu, unit.pool), None


def _no_shortcuts(network: QuickNet, images: Tensor) -> None:
    for unit in _units(network):
        unit.add = None


def _average(network: QuickNet, images: Tensor) -> None:
    network.pool9 = GlobalAvgPool2d()


def _scaled(scale: float) -> Network:
    def apply(network: QuickNet, images: Tensor) -> None:
        network.output.register_forward_hook(lambda module, inputs, output: output * (scale / LOGIT_SCALE))

    return apply


def _activation(make: Callable[[], nn.Module]) -> Network:
    def apply(network: QuickNet, images: Tensor) -> None:
        network.relu2 = make()
        for unit in _units(network):
            unit.relu = make()

    return apply


def _strided(network: QuickNet, images: Tensor) -> None:
    """Replace the first 3×3 convolution and its pooling by a 5×5 convolution with a stride of 2."""
    channels = network.unit3.conv.out_channels // 2
    first = nn.Conv2d(images.shape[1], channels, 5, 2, padding=2, bias=False)
    network.conv1, network.norm2 = first, nn.BatchNorm2d(channels)
    _set_first_inputs(network, channels)
    network.pool2 = nn.Identity()


def _dirac(network: QuickNet, images: Tensor) -> None:
    """Initialise the first filters of every later convolution to the identity (Jordan 2024, section 3.3)."""
    for unit in _units(network):
        nn.init.dirac_(unit.conv.weight.data[: unit.conv.in_channels])


def _learned(channels: int, norm: bool = True) -> Network:
    """Train the first layer as all others."""

    def apply(network: QuickNet, images: Tensor) -> None:
        network.conv1 = nn.Conv2d(images.shape[1], channels, 3, padding=1, bias=not norm)
        network.norm2 = nn.BatchNorm2d(channels) if norm else None
        _set_first_inputs(network, channels)

    return apply


def _whitened(
    directions: int | None = None, kernel: int = 3, norm: bool = False, learned: bool = False, bias: bool = False
) -> Network:
    def apply(network: QuickNet, images: Tensor) -> None:
        network.conv1 = whitening = WhiteningConv2d(images.shape[1], kernel, directions, bias)
        whitening.fit(images)
        whitening.weight.requires_grad_(learned)
        network.norm2 = nn.BatchNorm2d(whitening.out_channels) if norm else None
        _set_first_inputs(network, whitening.out_channels)

    return apply


def _of_a_picture(network: QuickNet, images: Tensor) -> None:
    network.conv1 = WhiteningConv2d(images.shape[1], 3)


def _memory(momentum: float) -> Network:
    def apply(network: QuickNet, images: Tensor) -> None:
        for norm in _norms(network):
            norm.momentum = momentum

    return apply


def _no_scale(network: QuickNet, images: Tensor) -> None:
    for norm in _norms(network):
        norm.weight.requires_grad_(False)


def _deeper(network: QuickNet, images: Tensor) -> None:
    """Add a unit with a shortcut at 14×14."""
    narrow = _units(network)[0].conv.in_channels
    network.relu2 = nn.Sequential(network.relu2, Unit(narrow, narrow, pool=False))


# ------------------------------------------------------------------------------------------------------ the training


def _norm_rate(share: float) -> Callable[[Training], None]:
    def apply(training: Training) -> None:
        for group in training.optimizer.param_groups:
            if group["params"][0].ndim == 1:
                group["share"] = share

    return apply


def _lookahead(training: Training) -> None:
    """Lookahead: every five steps towards the average of the weights, at the end onto it (Jordan 2024, section 3.4)."""
    step, kept = training.optimizer.step, [each.detach().clone() for each in training.model.state_dict().values()]

    def stepped() -> None:
        step()
        done = (training.step + 1) / training.steps
        if (training.step + 1) % 5 and done < 1:
            return
        share = 1 - 0.95**5 * done**3 if done < 1 else 0.0
        for slow, fast in zip(kept, training.model.state_dict().values(), strict=True):
            if fast.is_floating_point():
                slow.lerp_(fast.detach(), share)
                fast.copy_(slow)

    training.optimizer.step = stepped


def _random_flips(training: Training) -> None:
    policy: Any = training.batches.augment
    steps = ((name, replace(transform, alternates=False), strength) for name, transform, strength in policy.steps)
    training.batches.augment = replace(policy, steps=tuple(steps))


class _Growing:
    """Batches whose images are smaller at first; everything else is passed through."""

    def __init__(self, training: Training, shares: dict[int, float]):
        self._training, self._batches, self._shares = training, training.batches, shares

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def parts(self, step: int) -> list[Batch]:
        """The batch of a step, smaller if it is early."""
        parts, done = self._batches.parts(step), step / self._training.steps
        side = next((side for side, until in self._shares.items() if done < until), None)
        return list(parts) if side is None else [_resized(part, side) for part in parts]


def _resized(batch: Batch, side: int) -> Batch:
    small = F.interpolate(batch.inputs, size=(side, side), mode="bilinear", antialias=True)
    return Batch(small.contiguous(memory_format=torch.channels_last), batch.targets)


def _growing(shares: dict[int, float]) -> Callable[[Training], None]:
    def apply(training: Training) -> None:
        grown: Any = _Growing(training, shares)
        training.batches = grown

    return apply


def some_images(batches: Loader) -> Tensor:
    """Training images for the data-dependent initialisation, as in `striate.train`: float32 (N, C, H, W)."""
    images = batches.split.images
    return batches.preprocess.normalize(images[evenly_spaced(len(images), images.shape[1:].numel())])


BASE = Variation("as it is")
VARIATIONS = (
    BASE,
    Variation("pooling after ReLU", network=_pool_last),
    Variation("5×5, stride 2, for the first convolution and pooling", network=_strided),
    Variation("first layer learned and normalised, 32 maps", network=_learned(32)),
    Variation("first layer learned and normalised, 18 maps", network=_learned(18)),
    Variation("first layer learned, 18 maps", network=_learned(18, norm=False)),
    Variation("first layer whitens and learns", network=_whitened(learned=True)),
    Variation("first layer whitens and learns biases", network=_whitened(bias=True)),
    Variation("first layer whitens and is normalised", network=_whitened(norm=True)),
    Variation("first layer whitens any picture", network=_of_a_picture),
    Variation("first layer whitens 6 directions of 9", network=_whitened(6)),
    Variation("first layer whitens 8 directions of 9", network=_whitened(8)),
    Variation("first layer whitens 16 directions of 5×5 pixels", network=_whitened(16, 5)),
    Variation("one more unit at 14×14", network=_deeper),
    Variation("three quarters of all maps", width=0.75),
    Variation("one and a half times all maps", width=1.5),
    Variation("no shortcuts", network=_no_shortcuts),
    Variation("Dirac initialisation", network=_dirac),
    Variation("global average instead of maximum", network=_average),
    Variation("logits × 1", network=_scaled(1.0)),
    Variation("logits × 0.1", network=_scaled(0.1)),
    Variation("GELU", network=_activation(nn.GELU)),
    Variation("SiLU", network=_activation(nn.SiLU)),
    Variation("batch norm without scale", network=_no_scale),
    Variation("batch norm remembers less (momentum 0.4)", network=_memory(0.4)),
    Variation("biases and scales learn 8 times as fast", training=_norm_rate(8)),
    Variation("Nesterov SGD, 0.1", settings={"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4}),
    Variation("Nesterov SGD, 0.2", settings={"optimizer": "sgd", "learning_rate": 0.2, "weight_decay": 5e-4}),
    Variation("AdamW, 0.003", settings={"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 5e-4}),
    Variation("learning rate × ½", settings={"learning_rate": 0.015}),
    Variation("learning rate × 2", settings={"learning_rate": 0.06}),
    Variation("learning rate × 2, batches of 256", settings={"learning_rate": 0.06, "batch_size": 256}),
    Variation(
        "learning rate × 2, batches of 256, biases and scales 8 times as fast",
        settings={"learning_rate": 0.06, "batch_size": 256},
        training=_norm_rate(8),
    ),
    Variation(
        "no shortcuts, learning rate × 2, biases and scales 8 times as fast",
        settings={"learning_rate": 0.06},
        network=_no_shortcuts,
        training=_norm_rate(8),
    ),
    Variation("momentum 0.8", settings={"momentum": 0.8}),
    Variation("momentum 0.95", settings={"momentum": 0.95}),
    Variation("lookahead", training=_lookahead),
    Variation("cosine", settings={"schedule": "cosine"}),
    Variation("warm-up 0.1", settings={"warmup": 0.1}),
    Variation("warm-up 0.4", settings={"warmup": 0.4}),
    Variation("no label smoothing", settings={"label_smoothing": 0}),
    Variation("label smoothing 0.2", settings={"label_smoothing": 0.2}),
    Variation("batches of 64", settings={"batch_size": 64}),
    Variation("batches of 256", settings={"batch_size": 256}),
    Variation("random flips", training=_random_flips),
    Variation("no flips", settings={"augment": "shift=0.04"}),
    Variation("no shifts", settings={"augment": "flip"}),
    Variation("shifts of two pixels", settings={"augment": "flip,shift=0.08"}),
    Variation("20 pixels for the first half", training=_growing({20: 0.5})),
    Variation("20 pixels to 40 %, 24 to 70 %", training=_growing({20: 0.4, 24: 0.7})),
)
