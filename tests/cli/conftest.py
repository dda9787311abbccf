"""The command line called in this process: what it printed and how it ended."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from command_line import striate as striate_main


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def striate(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run `striate ARGUMENT...`."""

    def run(*arguments: object) -> Answer:
        code = striate_main(monkeypatch, *arguments)
        printed = capfd.readouterr()
        return Answer(code, printed.out, printed.err)

    return run
