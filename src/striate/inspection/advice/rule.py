"""A network as the rules of advice check it, their findings, the advice made of these, and its text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from striate import layers
from striate.errors import ArgumentError
from striate.inspection.advice.surgery import ChannelTies, Surgery, changed, channel_ties
from striate.inspection.structure.describe import describe
from striate.inspection.structure.inputs import input_shape_of
from striate.inspection.structure.table import ArchitectureTable
from striate.inspection.structure.trace import Call, trace
from striate.units import by, listed, percent, readable

WIDTH = 110  # characters of a line
MOST_LAYERS = 4  # that are listed by name
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


def own_parameters(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass(frozen=True)
class Saving:
    """Reduction of parameters and multiply-adds by a change, for one image; negative where it adds.

    Args:
        parameters: trainable ones.
        multiply_adds: of the layers for which they are known.

    >>> striate.advise("lenet5", rules=["flattened-head"]).findings[0].saves
    Saving(parameters=46080, multiply_adds=46080)
    """

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Finding:
    """One finding of a rule.

    Args:
        rule: its name, a key of `RULES`.
        layers: paths of the layers it is about, in the order they are called.
        found: the finding, a sentence with its numbers.
        numbers: the same numbers by name. Times are in seconds, memory is in bytes, shares lie in [0, 1].
        change: the proposed change, a sentence.
        saves: savings of the change, counted on the changed network; `None` where the change is not automatic.
        manual: reason why the change is not automatic; empty where it is.
        surgery: makes the change on a network; `None` where it is not automatic.

    >>> finding = striate.advise("lenet5", rules=["flattened-head"]).findings[0]
    >>> finding.rule, finding.layers, finding.saves
    ('flattened-head', ('c5',), Saving(parameters=46080, multiply_adds=46080))
    """

    rule: str
    layers: tuple[str, ...]
    found: str
    numbers: Mapping[str, float]
    change: str
    saves: Saving | None = None
    manual: str = ""
    surgery: Surgery | None = field(default=None, repr=False, compare=False)

    def apply(self, model: nn.Module, input_shape: tuple[int, int, int] | None = None, seed: int = 0) -> nn.Module:
        """Make the change on a copy of the network, or of another of the same architecture.

        Unchanged layers keep their weights; new weights are drawn with the same spread as those that they replace.

        Args:
            model: it stays as it is.
            input_shape: channels, height, width; known for models that Striate made.
            seed: what new weights are drawn from.

        Raises:
            ArgumentError: if the change is not automatic, or can't be made on this network.
        """
        if self.surgery is None:
            raise ArgumentError(f"{self.rule} has no automatic change: {self.manual}.")
        return changed(model, self.surgery, input_shape_of(model, input_shape), seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rule": self.rule,
            "layers": list(self.layers),
            "found": self.found,
            "numbers": dict(self.numbers),
            "change": self.change,
            "automatic": self.surgery is not None,
            "saves": None if self.saves is None else vars(self.saves),
        }


Rule = Callable[[Network], list[Finding]]


@dataclass(frozen=True)
class Advice:
    """Advice on a network, made by `advise`.

    Args:
        model: its name.
        input_shape: channels, height, width.
        parameters, multiply_adds: all of its trainable parameters, and its multiply-adds for one image.
        batch_size: how many images a step of training takes.
        memory: bytes that such a step needs; `None` if that could not be measured.
        images: number of images for the rules that need some.
        findings: in the order of the rules.
        passed: rules that found nothing.
        skipped: reasons of the rules that could not check the network, by name.

    >>> advice = striate.advise("lenet5", rules=["flattened-head"])
    >>> advice.parameters, [finding.rule for finding in advice.findings]
    (60000, ['flattened-head'])
    """

    model: str
    input_shape: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    batch_size: int
    memory: int | None
    images: int
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    skipped: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **vars(self),
            "input_shape": list(self.input_shape),
            "findings": [finding.to_dict() for finding in self.findings],
            "passed": list(self.passed),
            "skipped": dict(self.skipped),
        }

    def text(self) -> str:
        """The advice as text for a terminal."""
        return advice_text(self)


def advice_text(advice: Advice) -> str:
    """The network in one line, the findings, and the rules that passed or were skipped."""
    count = len(advice.findings)
    about = [f"{advice.model}, {by(advice.input_shape)}: {advice.parameters:,} parameters"]
    about.append(f"{short(advice.multiply_adds)} multiply-adds an image")
    if advice.memory is not None:
        about.append(f"{readable(advice.memory)} to train on {advice.batch_size} images a step")
    parts = [f"{', '.join(about)}; {count or 'no'} finding{'s' if count != 1 else ''}"]
    parts += [_finding(number, finding, advice) for number, finding in enumerate(advice.findings, start=1)]
    rest = [f"Passed: {', '.join(advice.passed)}."] if advice.passed else []
    reasons: dict[str, list[str]] = {}
    for rule, reason in advice.skipped.items():
        reasons.setdefault(reason, []).append(rule)
    rest += [f"Skipped: {', '.join(rules)}, because {reason}." for reason, rules in reasons.items()]
    parts.append("\n".join(line for each in rest for line in textwrap.wrap(each, WIDTH)))
    return "\n\n".join(part for part in parts if part)


def _finding(number: int, finding: Finding, advice: Advice) -> str:
    layers = f": {listed(finding.layers, MOST_LAYERS)}" if finding.layers else ""
    lines = [f"{number}  {finding.rule}{layers}"]
    sentences = [finding.found, f"→ {finding.change}"]
    if finding.saves is not None:
        sentences[-1] += f" {saving(finding.saves, advice)}"
    if finding.manual:
        sentences.append(f"(Not automatic: {finding.manual}.)")
    indent = {"width": WIDTH, "initial_indent": "   ", "subsequent_indent": "   "}
    return "\n".join([*lines, *(line for each in sentences for line in textwrap.wrap(each, **indent))])  # type: ignore[arg-type]


def saving(saves: Saving, advice: Advice) -> str:
    """A saving as a sentence: "That saves 36,700,160 parameters (59 %) and adds 85M multiply-adds (7.5 %)." """
    counts = (
        (saves.parameters, f"{abs(saves.parameters):,} parameters", advice.parameters),
        (saves.multiply_adds, f"{short(abs(saves.multiply_adds))} multiply-adds", advice.multiply_adds),
    )
    changes: dict[str, list[str]] = {"saves": [], "adds": []}
    for value, words, total in counts:
        if value:
            changes["saves" if value > 0 else "adds"].append(f"{words} ({share(abs(value), total)})")
    verbs = [f"{verb} {' and '.join(objects)}" for verb, objects in changes.items() if objects]
    if not verbs:
        return "That changes neither the parameters nor the multiply-adds."
    return f"That {' and '.join(verbs)}."


def share(part: float, whole: float) -> str:
    """One number as a percentage of another, with one decimal below 10 %."""
    fraction = part / whole if whole else 0.0
    return percent(fraction, 0 if fraction >= 0.1 else 1)


def short(count: float) -> str:
    """A count with a unit prefix: 1,135,256,096 as "1.14G", and 360 as it is."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g}{unit}" if count < 999.5 * factor else f"{count / factor:,.0f}{unit}"
    return f"{count:,.0f}"
