"""The command line, called in this process."""

import sys

import pytest

from striate.cli.main import main


def striate(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run `striate ARGUMENT...`: what the process would exit with."""
    monkeypatch.setattr(sys, "argv", ["striate", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
