"""The command line called in this process: what it printed and how it ended."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from command_line import striate as striate_main
from PIL import Image


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


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten pictures of cats and ten of dogs, all noise."""
    for name in ("cats", "dogs"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"
