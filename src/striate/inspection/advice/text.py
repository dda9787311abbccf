"""Advice in sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from striate.drawing import percent
from striate.units import by

if TYPE_CHECKING:
    from striate.inspection.advice.finding import Advice, Finding, Saving

WIDTH = 110
MOST_LAYERS = 4  # that are listed by name


def advice_text(advice: Advice) -> str:
    """The network in one line, the findings, and what the rules passed or could not look at."""
    count = len(advice.findings)
    about = [f"{advice.model}, {by(advice.input_shape)}: {advice.parameters:,} parameters"]
    about.append(f"{short(advice.multiply_adds)} multiply-adds an image")
    if advice.memory is not None:
        about.append(f"{size(advice.memory)} to train on {advice.batch_size} images a step")
    parts = [f"{', '.join(about)}; {count or 'no'} finding{'s' if count != 1 else ''}"]
    parts += [_finding(number, finding, advice) for number, finding in enumerate(advice.findings, start=1)]
    rest = [f"Nothing to say about: {', '.join(advice.passed)}."] if advice.passed else []
    reasons: dict[str, list[str]] = {}
    for rule, reason in advice.skipped.items():
        reasons.setdefault(reason, []).append(rule)
    rest += [f"Skipped: {', '.join(rules)}, because {reason}." for reason, rules in reasons.items()]
    parts.append("\n".join(line for each in rest for line in textwrap.wrap(each, WIDTH)))
    return "\n\n".join(part for part in parts if part)


def _finding(number: int, finding: Finding, advice: Advice) -> str:
    lines = [f"{number}  {finding.rule}: {listed(finding.layers)}" if finding.layers else f"{number}  {finding.rule}"]
    says = [finding.found, f"→ {finding.change}"]
    if finding.saves is not None:
        says[-1] += f" {saving(finding.saves, advice)}"
    if finding.manual:
        says.append(f"(Not automatic: {finding.manual}.)")
    indent = {"width": WIDTH, "initial_indent": "   ", "subsequent_indent": "   "}
    return "\n".join([*lines, *(line for each in says for line in textwrap.wrap(each, **indent))])  # type: ignore[arg-type]


def saving(saves: Saving, advice: Advice) -> str:
    """ "That takes away 36,700,160 parameters (59 %) and adds 85M multiply-adds (7.5 %)." """
    counts = (
        (saves.parameters, f"{abs(saves.parameters):,} parameters", advice.parameters),
        (saves.multiply_adds, f"{short(abs(saves.multiply_adds))} multiply-adds", advice.multiply_adds),
    )
    said: dict[str, list[str]] = {"takes away": [], "adds": []}
    for value, words, total in counts:
        if value:
            said["takes away" if value > 0 else "adds"].append(f"{words} ({share(abs(value), total)})")
    verbs = [f"{verb} {' and '.join(objects)}" for verb, objects in said.items() if objects]
    if not verbs:
        return "That changes neither the parameters nor the multiply-adds."
    return f"That {' and '.join(verbs)}."


def share(part: float, whole: float) -> str:
    """One number as percents of another, with a digit more where there are few."""
    fraction = part / whole if whole else 0.0
    return percent(fraction, 0 if fraction >= 0.1 else 1)


def short(count: float) -> str:
    """1,135,256,096 as "1.14G", and 360 as it is."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g}{unit}" if count < 999.5 * factor else f"{count / factor:,.0f}{unit}"
    return f"{count:,.0f}"


def size(memory: float) -> str:
    """Bytes as people write them: "312 MB", "1.4 GB"."""
    return f"{memory / 1e9:.1f} GB" if memory >= 1e9 else f"{max(memory / 1e6, 0.1):.{0 if memory >= 1e7 else 1}f} MB"


def listed(layers: Sequence[str]) -> str:
    """The layers' names, of many the first ones."""
    shown = list(layers[:MOST_LAYERS]) if len(layers) > MOST_LAYERS + 1 else list(layers)
    more = len(layers) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
