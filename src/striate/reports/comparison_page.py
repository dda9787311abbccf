"""HTML page of a comparison: table, differences, plots, and the winners of the ImageNet contest."""

from pathlib import Path
from typing import Any

from striate.comparison.result import Comparison, method, points, sentence
from striate.drawing import KEYS
from striate.errors import ArgumentError
from striate.files import write_atomic
from striate.reports.ilsvrc import WINNERS
from striate.reports.rendering import render


def report_comparison(comparison: Comparison, *, out: str | Path, command: str = "") -> Path:
    """Write a comparison's page: one file without network requests.

    Args:
        comparison: from `compare`.
        out: the file.
        command: the shell command that makes the comparison again.

    Returns:
        The file's path.

    Raises:
        ArgumentError: if `out` is a folder.
        StorageError: if the file can't be written; what was there before stays.

    >>> path = report_comparison(striate.compare([run]), out="comparison.html")
    >>> path.name, path.is_file()
    ('comparison.html', True)
    """
    from striate.reports import plots  # Matplotlib takes half a second that `compare` alone need not spend

    path, rows = Path(out), comparison.rows
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder: name the file to write, for example {path / 'comparison.html'}.")
    page = {
        "comparison": comparison,
        "place": path.absolute().parent.name,
        "command": command,
        "headline": _headline(comparison),
        "versus": _versus(comparison),
        "real": [_unbroken(sentence(pair)) for pair in comparison.pairs if pair.real],
        "chance": [_unbroken(sentence(pair)) for pair in comparison.pairs if not pair.real],
        "method": method(comparison),
        "keys": {row.name: number % KEYS + 1 for number, row in enumerate(rows)},
        "curves": any(row.curve for row in rows),
        "by_time": plots.accuracy_by_time(rows),
        "by_parameters": plots.accuracy_by_size(rows, "parameters"),
        "by_multiply_adds": plots.accuracy_by_size(rows, "multiply_adds"),
        "winners": WINNERS,
        "by_year": plots.errors_by_year(WINNERS),
    }
    write_atomic(path, render("comparison.html.j2", page))
    return path


def _unbroken(text: str) -> str:
    """Join numbers, units and "p < 0.001" with no-break spaces."""
    for word in (" %", "p <", "p =", "< ", "= "):
        text = text.replace(word, word.replace(" ", "\N{NO-BREAK SPACE}"))
    return text


def _headline(comparison: Comparison) -> str:
    """The best model, or those that don't differ significantly from it, as a headline."""
    best = comparison.rows[0]
    equals = [pair.other for pair in comparison.pairs if pair.better == best.name and not pair.real]
    if not equals:
        return f"{best.name} is the best model" if len(comparison.rows) > 1 else best.name
    if len(equals) == len(comparison.rows) - 1:
        return "No model is clearly the best"
    return f"{best.name} leads, but is not significantly better than {' or '.join(equals)}"


def _versus(comparison: Comparison) -> list[tuple[str, list[dict[str, Any] | None]]]:
    """Differences of each model from all others, in percentage points: text, style and tooltip of each cell."""
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for pair in comparison.pairs:
        for sign, place in ((1, (pair.better, pair.other)), (-1, (pair.other, pair.better))):
            look = "luck" if not pair.real else "hit" if sign > 0 else "miss"
            cells[place] = {"text": points(sign * pair.difference.mean), "look": look, "says": sentence(pair)}
    names = [row.name for row in comparison.rows]
    return [(name, [cells.get((name, other)) for other in names]) for name in names]
