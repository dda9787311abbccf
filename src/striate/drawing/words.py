"""Numbers, durations and tables as text."""

import html
from collections.abc import Iterable, Sequence

from rich.cells import cell_len


def aligned(rows: Iterable[Sequence[str]], right: str) -> str:
    """Align rows of cells in columns two spaces apart, wide characters counted as two.

    Args:
        rows: equally long.
        right: one character a column, ">" for right-aligned and "<" for left.
    """
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


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction as a percentage: 0.98612 as "98.61 %", and "–" for `None`."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def duration(seconds: float) -> str:
    """Seconds as "4.2 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def minus(text: str) -> str:
    """Replace hyphens in a number's text by minus signs, which are as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def preformatted(text: str) -> str:
    """Text as HTML that keeps its lines and columns, for notebooks."""
    return f"<pre>{html.escape(text)}</pre>"
