"""Results of the experiment on pooling across channels, as text and JSON."""

from collections.abc import Callable
from typing import Any

from striate.inspection.studies.depthwise import Arm, DepthwiseStudy, Estimate
from striate.inspection.studies.templates import GROUP
from striate.units import aligned, minus

NO_EFFECT = "not significant"


def estimate(value: Estimate, points: bool = False) -> str:
    """An estimate as text: "94.12 % (93.50 to 94.74)", or a difference in percentage points, with its sign."""
    return _with_interval(
        value, lambda end: _signed(100 * end) if points else f"{100 * end:.2f}", "" if points else " %"
    )


def _with_interval(value: Estimate, shown: Callable[[float], str], unit: str = "") -> str:
    mean = shown(value.mean) + unit
    return mean if value.interval is None else f"{mean} ({' to '.join(map(shown, value.interval))})"


def _signed(value: float, digits: int = 2) -> str:
    return minus(f"{value:+.{digits}f}")


def _real(difference: Estimate) -> str:
    if difference.interval is None:
        return "one seed, no significance test"
    low, high = difference.interval
    return "significant" if low > 0 or high < 0 else NO_EFFECT


def _gain(first: Arm, second: Arm) -> Estimate:
    return first.accuracy.minus(second.accuracy)


def headline(study: DepthwiseStudy) -> str:
    """The effect of the maximum over groups, against a linear readout of as many templates, in a sentence."""
    gain = _gain(*study.templates[:2])
    if _real(gain) == NO_EFFECT:
        return f"The maximum over groups of templates has no significant effect on {study.change.name}."
    way = "more" if gain.mean > 0 else "fewer"
    return (
        f"The maximum over groups recognises {100 * abs(gain.mean):.1f} points {way} of the changed images than a "
        "linear readout of as many templates."
    )


def likeness_sentence(study: DepthwiseStudy) -> str:
    """A sentence on how alike the templates of a group are; empty where that can't be asked."""
    if not study.likeness:
        return ""
    within = Estimate(tuple(each.within for each in study.likeness))
    across = Estimate(tuple(each.across for each in study.likeness))
    unchanged = Estimate(tuple(each.unchanged for each in study.likeness))
    more = within.minus(across)
    return (
        f"likeness (correlation) of two templates after the {study.change.name} that makes them most alike: "
        f"{within.mean:.3f} within a group, {across.mean:.3f} across groups, difference "
        f"{_with_interval(more, lambda end: _signed(end, 3))}, {_real(more)}; as they are, {unchanged.mean:.3f} within "
        "a group"
    )


def verdicts(study: DepthwiseStudy) -> list[str]:
    """Sentences: what the maximum over groups gains in each comparison, in percentage points, and its significance."""
    grouped, linear, one = study.templates
    pairs = [("templates, against a linear readout", grouped, linear), ("templates, against one a class", grouped, one)]
    pairs.append(("small filters in a first layer, against equal parameters without it", *study.filters))
    sentences = [
        f"maximum over groups of {what}: {estimate(_gain(first, second), True)} points, {_real(_gain(first, second))}"
        for what, first, second in pairs
    ]
    return [*sentences, *filter(None, [likeness_sentence(study)])]


def depthwise_text(study: DepthwiseStudy) -> str:
    """The networks in a table, and the verdicts."""
    seeds = len(study.templates[0].accuracy.values)
    rows = [("network", "accuracy", "parameters")]
    rows += [(arm.name, estimate(arm.accuracy), f"{arm.parameters:,}") for arm in (*study.templates, *study.filters)]
    title = (
        f"{study.source}, {study.change.done}: {study.images:,} test images; "
        f"{seeds} seed{'s'[: seeds > 1]}{', mean and 95 % interval' if seeds > 1 else ''}"
    )
    return "\n\n".join([title, aligned(rows, "<>>"), headline(study), "\n".join(verdicts(study))])


def depthwise_dict(study: DepthwiseStudy) -> dict[str, Any]:
    """Plain values for JSON."""
    strengths = list(study.change.strengths)

    def network(arm: Arm) -> dict[str, Any]:
        interval = arm.accuracy.interval
        return {
            "name": arm.name,
            "parameters": arm.parameters,
            "accuracy": {
                "mean": arm.accuracy.mean,
                "interval": interval and list(interval),
                "values": list(arm.accuracy.values),
            },
            "by_strength": list(arm.by_strength),
        }

    return {
        "data": study.source,
        "change": study.change.name,
        "strengths": strengths,
        "images": study.images,
        "classes": list(study.classes),
        "group": GROUP,
        "networks": [network(arm) for arm in (*study.templates, *study.filters)],
        "wins": study.winners.shares.tolist(),
        "used": study.winners.used.tolist(),
        "likeness": [
            {
                "within": each.within,
                "across": each.across,
                "unchanged": each.unchanged,
                "pairs": each.alike.tolist(),
                "by": each.by.tolist(),
            }
            for each in study.likeness
        ],
    }
