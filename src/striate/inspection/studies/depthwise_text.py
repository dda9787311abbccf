"""Results of the experiment on pooling across channels, as text and JSON."""

from typing import Any

from striate.inspection.studies.depthwise import ANGLES, STROKES, DepthwiseStudy, Estimate
from striate.units import aligned, minus, percent


def estimate(value: Estimate, points: bool = False) -> str:
    """An estimate as text: "94.12 % (93.50 to 94.74)", or a difference in percentage points, with its sign."""
    low_high = value.interval
    mean = _signed(100 * value.mean) if points else percent(value.mean)
    if low_high is None:
        return mean
    low, high = (_signed(100 * end) if points else f"{100 * end:.2f}" for end in low_high)
    return f"{mean} ({low} to {high})"


def _signed(value: float, digits: int = 2) -> str:
    return minus(f"{value:+.{digits}f}")


def headline(study: DepthwiseStudy) -> str:
    """The effect on rotation consistency, against the network with as many parameters, in a sentence."""
    with_, _, equal = study.arms
    difference = with_.consistency.minus(equal.consistency)
    if not _real(difference).startswith("significant"):
        return "With as many parameters, pooling across channels has no significant effect on rotation."
    much, way = f"{100 * abs(difference.mean):.2f} points", "more" if difference.mean > 0 else "less"
    return f"With as many parameters, pooling across channels makes the network {much} {way} consistent under rotation."


def verdicts(study: DepthwiseStudy) -> list[str]:
    """Effects of pooling across channels, in percentage points, seed by seed, and whether they are significant."""
    with_, *others = study.arms
    sentences = []
    for other in others:
        for what in ("consistency", "accuracy"):
            difference: Estimate = getattr(with_, what).minus(getattr(other, what))
            sentences.append(
                f"rotation {what} against {other.name}: {estimate(difference, True)} points, {_real(difference)}"
            )
    like = study.alike.minus(study.alike_untrained)
    across = study.alike.minus(study.alike_across)
    sentences.append(
        f"similarity of a group's filters, rotated, gained by training: {_signed(like.mean, 3)}, {_real(like)}"
    )
    sentences.append(f"similarity within a group against across groups: {_signed(across.mean, 3)}, {_real(across)}")
    return sentences


def depthwise_text(study: DepthwiseStudy) -> str:
    """The networks in a table, and the verdicts."""
    seeds = len(study.alike.values)
    rows = [("network", "parameters", "accuracy when rotated", "rotation consistency")]
    for arm in study.arms:
        rows.append((arm.name, f"{arm.parameters:,}", estimate(arm.accuracy), estimate(arm.consistency)))
    title = (
        f"digits rotated by up to {ANGLES[-1]}° to either side, {study.images} test images; "
        f"{seeds} seed{'s'[: seeds > 1]}{', mean and 95 % interval' if seeds > 1 else ''}"
    )
    return "\n\n".join([title, aligned(rows, "<>>>"), headline(study), "\n".join(verdicts(study))])


def depthwise_dict(study: DepthwiseStudy) -> dict[str, Any]:
    """Plain values for JSON."""

    def values(each: Estimate) -> dict[str, Any]:
        return {"mean": each.mean, "interval": each.interval and list(each.interval), "values": list(each.values)}

    return {
        "arms": [
            {
                "name": arm.name,
                "parameters": arm.parameters,
                "accuracy": values(arm.accuracy),
                "consistency": values(arm.consistency),
                "by_angle": {str(angle): list(pair) for angle, pair in zip(ANGLES, arm.by_angle, strict=True)},
            }
            for arm in study.arms
        ],
        "images": study.images,
        "filters": study.filters.tolist(),
        "winners": {str(angle): column for angle, column in zip(STROKES, study.winners.T.tolist(), strict=True)},
        "alike": values(study.alike),
        "alike_untrained": values(study.alike_untrained),
        "alike_across": values(study.alike_across),
    }


def _real(difference: Estimate) -> str:
    if difference.interval is None:
        return "one seed, no significance test"
    low, high = difference.interval
    return "significant" if low > 0 or high < 0 else "not significant"
