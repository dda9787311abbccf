"""The README keeps its promises: its Python runs, its commands and options exist, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from striate.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = get_command(app).commands


def command(line: str) -> str:
    """The name of the command that a line calls: its second word, or its second and third."""
    words = line.split()[1:3]
    return " ".join(words) if " ".join(words) in COMMANDS else words[0]


LINES = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("striate ")]
LINES += re.findall(r"`(striate [^`]+)`", README)  # in the text and in tables


@pytest.mark.slow
def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    assert 0.97 < float(capsys.readouterr().out) <= 1


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_is_one_the_program_takes(line: str):
    options = {option for parameter in COMMANDS[command(line)].params for option in parameter.opts}
    assert {word for word in shlex.split(line) if word.startswith("--")} <= options


def test_there_are_command_lines_of_every_command():
    assert {command(line) for line in LINES} == set(COMMANDS)


@pytest.mark.parametrize("target", ["demo", "test", "install", "bench"])
def test_every_make_target_exists(target: str):
    assert f"make {target}" in README
    rules = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert target in " ".join(rules).split()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)", README))))
def test_every_link_leads_somewhere(target: str):
    assert (ROOT / target).exists()
