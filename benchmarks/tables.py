"""Medians, ratios within rounds, number formats and Markdown tables."""

import math
import statistics
from collections.abc import Sequence

from benchmarks.store import Result

NOTHING = "–"


def median(results: dict[str, Result], field: str = "images_per_second") -> float | None:
    """The median of a field over the rounds; `None` without any."""
    values = [each[field] for each in results.values() if field in each]
    return statistics.median(values) if values else None


def mean(results: dict[str, Result], field: str) -> float | None:
    """The mean of a field over the rounds; `None` without any."""
    values = [each[field] for each in results.values() if field in each]
    return statistics.mean(values) if values else None


def ratio(
    above: dict[str, Result],
    below: dict[str, Result],
    field: str = "images_per_second",
    other: str | None = None,
) -> float | None:
    """Median of the ratios within the rounds that both have, so that a slow round cancels out.

    Args:
        above, below: results by round.
        field: the numerator's field.
        other: the denominator's field, if it is another.
    """
    other = other or field
    shared = [key for key in above if key in below and field in above[key] and other in below[key]]
    return statistics.median(above[key][field] / below[key][other] for key in shared) if shared else None


def number(value: float | None, unit: str = "") -> str:
    """Format a number with three digits; a dash for None."""
    if value is None:
        return NOTHING
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{digits}f}{unit}"


def times(value: float | None) -> str:
    """Format a ratio in brackets."""
    return "" if value is None else f" ({number(value)}×)"


def percent(value: float | None) -> str:
    """Format a share in per cent; a dash for None."""
    return NOTHING if value is None else f"{100 * value:.2f} %"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table with a heading and aligned columns; an empty string without rows."""
    if not rows:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([f"## {title}", "", *text, ""])
