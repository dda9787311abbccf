"""Sizes, durations, shares, counts, lists, tables and numbers as text; sizes and durations are parsed, too."""

import math
import re
from collections.abc import Iterable, Sequence

from striate.errors import ArgumentError

_SIZE_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def bytes_of(text: str) -> int:
    """Parse a size such as "8GB", "1.5 GB", "500MB" or "0" to bytes; "GB" is 10⁹ bytes and "GiB" 2³⁰.

    Raises:
        ArgumentError: for anything else.
    """
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if match is None or match[2].upper() not in _SIZE_UNITS:
        raise ArgumentError(f"cache size '{text}': write it as in 8GB, 500MB or 0 (no cache).")
    return int(float(match[1]) * _SIZE_UNITS[match[2].upper()])


def readable(size: int) -> str:
    """Format a size in bytes, as in "1.2 GB"; a GB is 10⁹ bytes."""
    power = min(4, max(0, len(str(size)) - 1) // 3)
    return f"{size / 1000**power:.1f}".removesuffix(".0") + f" {('bytes', 'KB', 'MB', 'GB', 'TB')[power]}"


_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?\s*(?:{_NUMBER}m)?\s*(?:{_NUMBER}s)?", re.ASCII)
_DURATION_UNITS = (3600.0, 60.0, 1.0)


def seconds(text: str) -> float:
    """Parse a duration like "90s", "10m" or "1h30m" to seconds: hours, minutes, seconds, in this order, any left out.

    Raises:
        ArgumentError: for anything else, such as a number without a unit, and for zero.
    """
    form = _DURATION.fullmatch(text.strip().lower())
    given = form.groups() if form else ()
    total = sum(float(number) * unit for number, unit in zip(given, _DURATION_UNITS, strict=False) if number)
    if not 0 < total < math.inf:
        raise ArgumentError(f"'{text}' is not a duration: write it as 90s, 10m or 1h30m.")
    return total


def duration(seconds: float) -> str:
    """Seconds as "4.2 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction as a percentage: 0.98612 as "98.61 %", and "–" for `None`."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def minus(text: str) -> str:
    """Replace hyphens in a number's text by minus signs, which are as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def by(values: tuple[int, ...], shorten: bool = False) -> str:
    """Format (28, 28) as "28×28", or with `shorten` as "28" where all values are equal."""
    return str(values[0]) if shorten and len(set(values)) == 1 else "×".join(map(str, values))


def listed(names: Sequence[str], most: int = 10) -> str:
    """Join names: "a, b, c", and after the first `most` of them the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plural(count: int, noun: str) -> str:
    """Format a count with its noun: "1 file", "2 files"."""
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def aligned(rows: Iterable[Sequence[str]], right: str) -> str:
    """Align rows of cells in columns two spaces apart, wide characters counted as two.

    Args:
        rows: equally long.
        right: one character a column, ">" for right-aligned and "<" for left.
    """
    from rich.cells import cell_len  # not at the top: much needs sizes as text, and only tables need Rich

    rows = list(rows)
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = []
        for cell, width, side in zip(row, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if side == ">" else cell + space)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def finite(value: float) -> float | None:
    """`value`, or `None` for what JSON can't hold: NaN and the infinities."""
    return value if math.isfinite(value) else None
