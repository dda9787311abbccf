"""What `advise` finds: findings, and all of them as advice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from striate.errors import ArgumentError
from striate.inspection.advice.surgery import Surgery, changed
from striate.inspection.advice.text import advice_text
from striate.inspection.subject import input_shape_of


@dataclass(frozen=True)
class Saving:
    """What a change takes away, for one image; below 0 where it adds.

    Args:
        parameters: trainable ones.
        multiply_adds: of the layers for which they are known.
    """

    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found.

    Args:
        rule: its name, a key of `RULES`.
        layers: paths of the layers it is about, in the order they are called.
        found: what was found, a sentence with its numbers.
        numbers: the same numbers by name. Times are in seconds, memory is in bytes, shares lie in [0, 1].
        change: what is proposed, a sentence.
        saves: what the change takes away, counted on the changed network; `None` where the change is not automatic.
        manual: why the change is not automatic; empty where it is.
        surgery: makes the change on a network; `None` where it is not automatic.
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
        """A copy of the network, or of another of the same architecture, with the change made.

        What the change leaves alone keeps its weights; the new ones are drawn, as widely as those in their place were.

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


@dataclass(frozen=True)
class Advice:
    """What the rules say of a network, made by `advise`.

    Args:
        model: its name.
        input_shape: channels, height, width.
        parameters, multiply_adds: all of its trainable parameters, and its multiply-adds for one image.
        batch_size: how many images a step of training takes.
        memory: bytes that such a step needs; `None` if that could not be measured.
        images: how many images the rules looked at that need some.
        findings: in the order of the rules.
        passed: rules that found nothing.
        skipped: rules that could not look, and why.
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
        """Sentences for people."""
        return advice_text(self)
