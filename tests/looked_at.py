"""One rule of `advise` on one network."""

from torch import Tensor, nn

from striate.inspection import Finding, advise
from striate.training import Recipe


def findings(rule: str, model: nn.Module, shape: tuple[int, int, int], images: Tensor | None = None) -> list[Finding]:
    """What the rule finds; the rule must have looked."""
    advice = advise(model, images, input_shape=shape, rules=[rule], device="cpu", recipe=Recipe(batch_size=8))
    assert not advice.skipped, advice.skipped
    return list(advice.findings)


def finding(rule: str, model: nn.Module, shape: tuple[int, int, int], images: Tensor | None = None) -> Finding:
    """The one thing that the rule finds."""
    (found,) = findings(rule, model, shape, images)
    assert found.rule == rule
    return found
