"""Many names in one: "shards-{000..063}.tar" and "{train,val}-0.tar", expanded as shells do."""

import re
from collections.abc import Iterator

from striate.errors import ArgumentError

_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 100_000  # shards; a range that is longer has a digit too many


def expand(pattern: str) -> list[str]:
    """All names that `pattern` stands for, in the order written, the last braces running fastest.

    A range counts up and keeps leading zeros: {08..10} is 08, 09, 10. Alternatives stand between commas and may hold
    braces themselves. A name without braces stands for itself.

    Raises:
        ArgumentError: naming what is wrong: a brace without its partner, a range that runs backwards, braces that hold
            neither a range nor alternatives, a name that comes twice, or more than 100,000 names.
    """
    names = []
    for name in _expanded(pattern, pattern):
        names.append(name)
        if len(names) > _MOST:
            raise ArgumentError(f"'{pattern}' stands for more than {_MOST:,} names: check its ranges.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ArgumentError(f"'{pattern}' names {name} twice: its images would be counted twice.")
        seen.add(name)
    return names


def _expanded(text: str, pattern: str) -> Iterator[str]:
    start = text.find("{")
    if start < 0:
        if "}" in text:
            raise ArgumentError(f"'{pattern}' closes a brace that it does not open.")
        yield text
        return
    if "}" in text[:start]:
        raise ArgumentError(f"'{pattern}' closes a brace that it does not open.")
    parts, end = _alternatives(text, start, pattern)
    choices = _counted(parts[0], pattern) if len(parts) == 1 else _each(parts, pattern)
    for choice in choices:
        for rest in _expanded(text[end:], pattern):
            yield text[:start] + choice + rest


def _each(parts: list[str], pattern: str) -> Iterator[str]:
    for part in parts:
        yield from _expanded(part, pattern)


def _alternatives(text: str, start: int, pattern: str) -> tuple[list[str], int]:
    """What stands between the commas of the braces that open at `start`, and the position after them."""
    parts, begin, depth = [], start + 1, 0
    for position in range(start, len(text)):
        letter = text[position]
        depth += (letter == "{") - (letter == "}")
        if depth == 0 or (depth == 1 and letter == ","):
            parts.append(text[begin:position])
            begin = position + 1
        if depth == 0:
            return parts, begin
    raise ArgumentError(f"'{pattern}' opens a brace that it does not close.")


def _counted(text: str, pattern: str) -> Iterator[str]:
    """The numbers of the range `text`, as wide as its ends if one of them begins with a zero."""
    found = _RANGE.fullmatch(text)
    if not found:
        raise ArgumentError(
            f"'{pattern}': {{{text}}} is neither a range like {{000..063}} nor alternatives like {{train,val}}."
        )
    first, last = found.groups()
    if int(first) > int(last):
        raise ArgumentError(f"'{pattern}': the range {{{text}}} runs backwards; write {{{last}..{first}}}.")
    padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return (f"{number:0{width}}" for number in range(int(first), int(last) + 1))
