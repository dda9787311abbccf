"""The commands that the pages name are commands of the program, with options that it has."""

import re
import shlex
from pathlib import Path

import pytest

from docs.building.commands import command_of, commands

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "reference" not in path.parts)
# On a line of its own, in run("…"), or between backticks.
LINE = re.compile(
    r"^(?:\$ )?(striate [a-z][^#\n]+)|run\(\"(striate [a-z][^\"]+)\"\)|`(striate [a-z][^`]+)`", re.MULTILINE
)
PROSE = re.compile(r"striate [a-z]+ [a-z]+ [a-z]+ [a-z]+ ")  # a sentence that happens to begin a line


def lines_of(text: str) -> list[str]:
    """The command lines of a page, those broken by a backslash in one piece."""
    found = ["".join(groups) for groups in LINE.findall(text.replace("\\\n", " "))]
    return [line for line in found if not PROSE.match(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_option_on_a_page_is_one_of_its_command(page: Path) -> None:
    for line in lines_of(page.read_text(encoding="utf-8")):
        name = command_of(line)
        options = {option for each in commands()[name].params for option in each.opts + each.secondary_opts}
        given = {word.partition("=")[0] for word in shlex.split(line) if re.match(r"--[a-z]", word)}
        assert given <= options | {"--help"}, line


def test_command_lines_are_found_in_code_in_cells_and_in_the_text() -> None:
    text = '$ striate train --epochs 2 \\\n  --seed 3  # note\nrun("striate data photographs")\n`striate describe`\n'
    assert [line.split() for line in lines_of(text)] == [
        ["striate", "train", "--epochs", "2", "--seed", "3"],
        ["striate", "data", "photographs"],
        ["striate", "describe"],
    ]
