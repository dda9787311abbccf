"""Every public name has an example in its docstring, and the example is true."""

import doctest
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.building.api import BEGINNING, Entry, entries

ENTRIES = entries()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the examples begin with, in a folder of their own."""
    before, names = Path.cwd(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        os.chdir(tmp_path_factory.mktemp("examples"))
        exec(compile(BEGINNING, "the beginning", "exec"), names)
        yield names
        os.chdir(before)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_example_is_there_and_true(entry: Entry, given: dict[str, Any]) -> None:
    example = entry.example(dict(given))
    assert any(step.want for step in example.examples), f"{entry.name} has no example that shows a value"
    told: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=told.append)
    assert told == []
