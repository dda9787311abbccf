"""The network under advice: its layer calls, architecture table and totals, and images if there are any."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from striate import layers
from striate.inspection.advice.surgery import ChannelTies, channel_ties
from striate.inspection.structure.describe import describe
from striate.inspection.structure.table import ArchitectureTable
from striate.inspection.structure.trace import Call, trace

if TYPE_CHECKING:
    from striate.inspection.advice.finding import Finding

CONVOLUTIONS = (nn.Conv2d, layers.PartialConv2d)


class SkippedError(Exception):
    """Raised by a rule that can't check this network; the text is the reason, a clause after "because"."""


@dataclass(frozen=True)
class Network:
    """Input of the advice rules.

    Args:
        module: on `device`.
        shape: channels, height, width.
        device: where it is measured.
        batch_size: images in a step of training.
        moments: values that the optimiser keeps for each parameter.
        inputs: makes what the network takes of images; `None` without images.
        images: uint8 (N, H, W, C), or `None`.
        cache: what one rule has measured for others.
    """

    module: nn.Module
    shape: tuple[int, int, int]
    device: torch.device
    batch_size: int
    moments: int = 1
    inputs: Callable[[Tensor], Tensor] | None = None
    images: Tensor | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def calls(self) -> list[Call]:
        """The calls of all layers, in the order they end."""
        return trace(self.module, self.shape)

    @cached_property
    def blocks(self) -> list[Call]:
        """The calls of all modules below the network, layers and containers."""
        return trace(self.module, self.shape, every=True)

    @cached_property
    def table(self) -> ArchitectureTable:
        """The architecture table, as `describe` makes it."""
        return describe(self.module, self.shape)

    @cached_property
    def convolutions(self) -> list[Call]:
        """The calls of convolutions, including LeNet-5's partial ones."""
        return [call for call in self.calls if isinstance(call.module, CONVOLUTIONS)]

    @cached_property
    def ties(self) -> ChannelTies:
        """Layers whose outputs are added together."""
        return channel_ties(self.module, self.shape)

    @property
    def parameters(self) -> int:
        """All parameters, trainable or not."""
        return self.table.parameters + self.table.frozen

    def followers(self, call: Call, most: int = 4) -> list[nn.Module]:
        """The chain of layers behind a call's, as long as only one takes the output of the one before."""
        chain: list[nn.Module] = []
        position = next(number for number, other in enumerate(self.calls) if other is call)
        while len(chain) < most:
            takers = [number for number, other in enumerate(self.calls) if other.source == position]
            if len(takers) != 1:
                break
            position = takers[0]
            chain.append(self.calls[position].module)
        return chain


Rule = Callable[[Network], "list[Finding]"]


def own_parameters(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
