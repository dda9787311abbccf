"""The command line called in this process: what it printed and how it ended."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from striate.cli.main import main


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def striate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run `striate ARGUMENT...`."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["striate", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        printed = capfd.readouterr()
        return Answer(code, printed.out, printed.err)

    return run
