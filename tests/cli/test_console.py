"""What the command line prints: nothing that a terminal obeys, JSON in any encoding, and no end without a reader."""

import io
import json
import subprocess
import sys

import pytest

from striate.cli.console import printable, say, show, show_json


class Stream(io.TextIOWrapper):
    """Text in an encoding, kept in memory."""

    def __init__(self, encoding: str):
        super().__init__(io.BytesIO(), encoding=encoding)

    @property
    def text(self) -> str:
        self.seek(0)
        return self.read()


@pytest.mark.parametrize(
    ("given", "shown"),
    [("\x1b[31mred", "\\x1b[31mred"), ("bell\x07", "bell\\x07"), ("\x9b2J", "\\x9b2J"), ("a\u202eb", "a\\u202eb"),
     ("half\udcff", "half\\udcff"), ("tab\tend\n", "tab\tend\n"), ("猫 🐱 été", "猫 🐱 été")],
)  # fmt: skip
def test_what_a_terminal_obeys_becomes_an_escape(given: str, shown: str) -> None:
    assert printable(given) == shown


def test_messages_and_results_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J")
    show("b\x1b[2J")
    show_json({"name\x9b": "c\x1b[2J\u202e"})
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\u202e" not in out
    assert json.loads(out.splitlines()[1]) == {"name\x9b": "c\x1b[2J\u202e"}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-16"])
def test_json_is_json_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, value = Stream(encoding), {"class": "été 猫 🐱 \udcff"}
    monkeypatch.setattr(sys, "stdout", stream)
    show_json(value)
    assert json.loads(stream.text) == value


def test_without_a_reader_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    say("one")
    assert sys.stderr is None, "what can't be written to is not tried again"
    say("two")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    say("three")
    show("four")
    show_json({})


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "2>&- 0<&-"])
def test_a_command_ends_well_with_standard_error_closed(closed: str) -> None:
    command = f"{sys.executable} -m striate describe mlp --json {closed}"
    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert told.returncode == 0
    assert json.loads(told.stdout)


def test_no_file_becomes_standard_error() -> None:
    """A descriptor that is free would be the next file's, and libraries' complaints would end in it."""
    program = (
        "import os, sys\n"
        "from striate.cli.main import main\n"
        "sys.argv = ['striate', '--version']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "os.write(1, str(os.open(os.devnull, os.O_RDONLY)).encode())"
    )
    told = subprocess.run(["bash", "-c", f'{sys.executable} -c "{program}" 2>&- 0<&-'], capture_output=True, text=True)
    assert int(told.stdout.split()[-1]) > 2


def test_progress_needs_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.cli.progress import Progress, loading

    monkeypatch.setattr(sys, "stderr", None)
    assert not Progress().live
    with loading() as report:
        report("reading", 1, 2)
