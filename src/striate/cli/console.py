"""Output of the command line: results to standard output, everything else to standard error."""

import json
import sys
from typing import Any


def say(text: str) -> None:
    """Print a message to standard error."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result to standard output."""
    _print(text)


def show_json(value: dict[str, Any]) -> None:
    """Print one JSON object to standard output."""
    _print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _print(text: str) -> None:
    # File names need not be text: what the terminal can't show is written as an escape.
    if sys.stdout is None:  # closed by whoever called us: nobody wants to know
        return
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
