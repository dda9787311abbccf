"""Where the command line writes: results to standard output, everything else to standard error."""

import json
import sys
from typing import Any


def say(text: str) -> None:
    """A message to the person: standard error."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A result: standard output."""
    _print(text)


def show_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    _print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _print(text: str) -> None:
    # File names need not be text: what the terminal can't show is written as an escape.
    if sys.stdout is None:  # closed by whoever called us: nobody wants to know
        return
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
