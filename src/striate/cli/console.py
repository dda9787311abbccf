"""Output of the command line: results to standard output, everything else to standard error.

File names, class names and what files contain may hold anything, but a terminal obeys some characters: those are shown
as escapes.
"""

import json
import re
import sys
from typing import Any, TextIO

# Control characters but tabs and line ends, marks that turn the direction of writing, and halves of characters.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def say(text: str) -> None:
    """Print a message to standard error. If nobody can read it there, work goes on without a word."""
    if sys.stderr is None:  # closed by whoever called us
        return
    try:
        _print(text, sys.stderr)
    except OSError:  # a reader that is gone, a full disk
        sys.stderr = None


def show(text: str) -> None:
    """Print a result to standard output."""
    if sys.stdout is not None:
        _print(text, sys.stdout)


def show_json(value: dict[str, Any]) -> None:
    """Print one JSON object to standard output: in ASCII, unless the encoding has all of Unicode."""
    if sys.stdout is not None:
        ascii_only = not _encoding(sys.stdout).lower().startswith("utf")
        text = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False)
        print(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def printable(text: str) -> str:
    """Return text whose characters only show something: a control character becomes an escape, such as \\x1b."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def _print(text: str, stream: TextIO) -> None:
    encoding = _encoding(stream)
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _encoding(stream: TextIO) -> str:
    return stream.encoding or "utf-8"
