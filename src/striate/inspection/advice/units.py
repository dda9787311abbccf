"""Units without effect: dead ReLU units, always 0, and saturated tanh and sigmoid units, with almost no slope.

Activations are observed where PyTorch computes them, so that `F.relu(x)` and a module are alike here.

Sources: Lu et al., "Dying ReLU and Initialization", 2019; LeCun et al., "Efficient BackProp", 1998, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate import layers
from striate.inspection.advice.rule import Finding, Network, SkippedError, share
from striate.inspection.advice.surgery import swapping
from striate.inspection.extent.rules import arguments, name_of
from striate.inspection.structure import layer_kinds
from striate.inspection.structure.inputs import taking
from striate.inspection.structure.trace import layers_of
from striate.models import evaluating

BATCH = 64  # images at once
LEAST_IMAGES = 100  # of fewer, many units are silent by chance
DEAD_SHARE = 0.05  # of a layer's units, from which on it is a finding
SATURATED = 0.97  # |tanh| from which on its slope is below 6 % of the steepest; a sigmoid is a tanh of half the input
SATURATED_SHARE = 0.5  # of an activation's values, above which it is a finding
LEAKY_SLOPE = 0.01  # of the leaky ReLU that is proposed
_RELUS = (nn.ReLU, nn.ReLU6)
_SATURATING = (nn.Tanh, nn.Sigmoid, layers.ScaledTanh)


def dead_units(network: Network) -> list[Finding]:
    """Find ReLU layers of which at least 5 % of the units are 0 on every image. A feature map counts as one unit.

    Raises:
        SkippedError: without a trained network and images.
    """
    seen = [each for each in activation_statistics(network) if each.kind == "relu"]
    found = {each.layer: each for each in seen if _dead(each) >= DEAD_SHARE * len(each.alive)}
    if not found:
        return []
    dead, units = sum(map(_dead, found.values())), sum(len(each.alive) for each in found.values())
    worst = max(found.values(), key=lambda each: _dead(each) / len(each.alive))
    of_all = sum(map(_dead, seen)), sum(len(each.alive) for each in seen)
    each_of = f", most of them behind {worst.layer}: {_dead(worst)} of {len(worst.alive)}" if len(found) > 1 else ""
    manual = _manual(network, found, _RELUS)
    images = len(network.images) if network.images is not None else 0
    change = (
        f"Use a leaky ReLU with a slope of {LEAKY_SLOPE} below 0, so that a unit can recover; "
        "or lower the learning rate."
    )
    return [
        Finding(
            rule="dead-units",
            layers=tuple(found),
            found=f"{dead} of {units} units ({share(dead, units)}) are 0 on all {images:,} images{each_of}; "
            f"{of_all[0]} of {of_all[1]} in the whole network.",
            numbers={"dead": dead, "units": units, "share": dead / units, "images": images},
            change=change,
            manual=manual,
            surgery=None if manual else swapping(found, nn.LeakyReLU(LEAKY_SLOPE)),
        )
    ]


def saturated_activations(network: Network) -> list[Finding]:
    """Find tanh and sigmoid activations with more than half of their values where the slope is almost 0.

    Raises:
        SkippedError: without a trained network and images.
    """
    seen = [each for each in activation_statistics(network) if each.kind != "relu"]
    found = {each.layer: each for each in seen if each.saturated > SATURATED_SHARE * each.values}
    if not found:
        return []
    worst = max(found.values(), key=lambda each: each.saturated / each.values)
    saturated, values = sum(each.saturated for each in found.values()), sum(each.values for each in found.values())
    manual = _manual(network, found, _SATURATING)
    most = f", {share(worst.saturated, worst.values)} behind {worst.layer}" if len(found) > 1 else ""
    return [
        Finding(
            rule="saturated-activation",
            layers=tuple(found),
            found=f"{share(saturated, values)} of the values lie beyond {SATURATED} of the {worst.kind}'s range{most}: "
            "there its slope is below 6 % of the steepest, and the layers before it hardly learn.",
            numbers={"share": saturated / values, "values": values},
            change="Use a ReLU, which does not saturate above 0; or normalise its input.",
            manual=manual,
            surgery=None if manual else swapping(found, nn.ReLU()),
        )
    ]


def _dead(statistics: ActivationStatistics) -> int:
    return int((~statistics.alive).sum())


def _manual(network: Network, found: dict[str, ActivationStatistics], kinds: tuple[type[nn.Module], ...]) -> str:
    """The reason why the activations can't be replaced automatically; empty if they can."""
    for path, each in found.items():
        if not each.module:
            return f"behind {path} it is a function and no module"
        module = network.module.get_submodule(path)
        if type(module) not in kinds:
            return f"{path} is a {layer_kinds.kind(module)} that computes it inside"
    return ""


@dataclass
class ActivationStatistics:
    """Statistics of one activation function over all images.

    Args:
        layer: the path of its module; of a function, that of the last layer before it.
        module: whether it is a module.
        kind: "relu", "tanh" or "sigmoid".
        alive: bool (units,), whether a unit was ever other than 0; a channel is a unit.
        saturated, values: how many values were saturated, and how many there were.
    """

    layer: str
    module: bool
    kind: str
    alive: Tensor
    saturated: int = 0
    values: int = 0

    def add(self, made: Tensor) -> None:
        """Add the activations of a batch: (N, units, …)."""
        per_unit = made.detach().transpose(0, 1).flatten(1)
        self.alive |= (per_unit != 0).any(1).cpu()
        if self.kind != "relu":
            swing = 2 * made - 1 if self.kind == "sigmoid" else made
            self.saturated += int((swing.abs() > SATURATED).sum())
            self.values += made.numel()


def activation_statistics(network: Network) -> list[ActivationStatistics]:
    """Compute the statistics of the network's activations over all of its images, in evaluation mode.

    Raises:
        SkippedError: without images, or with too few.
    """
    if network.images is None or network.inputs is None:
        raise SkippedError("it needs a trained network and images")
    if len(network.images) < LEAST_IMAGES:
        raise SkippedError(f"{len(network.images)} images are too few, pass {LEAST_IMAGES} or more")
    if "activations" in network.cache:
        return network.cache["activations"]
    mode = ActivationRecorder()
    with evaluating(network.module), torch.no_grad(), _naming_layers(network.module, mode):
        for chunk in network.images.split(BATCH):
            inputs, mode.position = network.inputs(chunk), 0
            with taking(network.module, network.shape), mode:
                network.module(inputs)
    network.cache["activations"] = mode.found
    return mode.found


class ActivationRecorder(TorchDispatchMode):
    """Context that records activation functions, in the order in which they are computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[ActivationStatistics] = []
        self.open: list[str] = []
        self.last, self.position = "", 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # see `ExtentTracker`

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        kind = _kind(func, args, kwargs or {})
        if kind and isinstance(made, Tensor) and made.dim() > 1:
            if self.position == len(self.found):
                layer = self.open[-1] if self.open else self.last
                self.found.append(
                    ActivationStatistics(layer, bool(self.open), kind, torch.zeros(made.shape[1], dtype=torch.bool))
                )
            self.found[self.position].add(made)
            self.position += 1
        return made


@contextmanager
def _naming_layers(module: nn.Module, mode: ActivationRecorder) -> Iterator[None]:
    """Context that tells the recorder which layer is being computed, and which was the last."""
    handles = []
    for path, layer in layers_of(module):

        def begin(module: nn.Module, args: Any, path: str = path) -> None:
            mode.open.append(path)

        def end(module: nn.Module, args: Any, output: Any) -> None:
            mode.last = mode.open.pop()

        handles += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    name = name_of(func)
    if name == "hardtanh":  # a ReLU6 is one
        given = arguments(func, args, kwargs)
        return "relu" if given.get("min_val", -1) == 0 else None
    return name if name in ("relu", "tanh", "sigmoid") else None
