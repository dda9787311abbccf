"""Docstrings for Sphinx: ours are plain text with backticks, in which nothing else is markup."""

import re
from typing import Any

_CODE = re.compile(r"(`[^`]*`)")
_COLON = re.compile(r"(?<=\S):(?= |$)")


def escaped(line: str) -> str:
    """A line of prose whose stars, bars and underscores stay what they are."""
    parts = _CODE.split(line)
    for position in range(0, len(parts), 2):
        parts[position] = re.sub(r"[*|\\]|_(?=\W|$)", r"\\\g<0>", parts[position])
        before, after = position > 0, position < len(parts) - 1
        if before and re.match(r"\w", parts[position]):  # code with an ending: "`Tensor`s"
            parts[position] = "\\ " + parts[position]
        if after and re.search(r"\w$", parts[position]):
            parts[position] += "\\ "
    return "".join(parts)


def prepare(kind: str, lines: list[str]) -> None:
    """Make a docstring's lines, in place, what Napoleon and reStructuredText read as it is meant.

    Napoleon takes what stands before a colon, in the first line about a property and under "Returns:", for a type;
    ours have sentences there.
    """
    in_example = False
    for number, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            lines[number] = escaped(line)
        sentence = number == 0 and kind in ("attribute", "property", "data")
        if sentence or (number and lines[number - 1].strip() in ("Returns:", "Yields:")):
            lines[number] = _COLON.sub(r"\ |colon|", lines[number])


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx, before Napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Any, kind: str, name: str, documented: Any, options: Any, lines: list[str]) -> None:
    prepare(kind, lines)
