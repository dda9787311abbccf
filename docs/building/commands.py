"""Pages of the command line: each command with its options as the program states them, and examples with their output.

The examples are in examples.toml. They run while the site is built, one after the other in an empty folder; their
outputs are kept until the examples or Striate's code change, with the files that the gallery shows.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import typer
from sphinx.util import logging

from striate.cli.main import INTERRUPTED
from striate.cli.main import app as application

FOLDER = Path("reference") / "command-line"
EXAMPLES = Path(__file__).with_name("examples.toml")
ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "docs-outputs.json"
EXTRA = ROOT / "build" / "docs-extra"  # becomes part of the site as it is
SHOWN = EXTRA / "shown"
LIMIT = 180  # seconds that an example may take

logger = logging.getLogger(__name__)


@cache
def commands() -> dict[str, Any]:
    """The program's commands by name."""
    return dict(typer.main.get_command(application).commands)  # type: ignore[attr-defined]


def examples() -> list[str]:
    """The examples, in the order in which they run."""
    return list(tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))["examples"])


def shown_files() -> dict[str, str]:
    """Files that the examples write, by their names on the site."""
    return dict(tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))["shown"])


def command_of(example: str) -> str:
    """The name of the command that an example is of: one of two words goes before one of one."""
    words = shlex.split(example)[1:]
    return next(name for name in (" ".join(words[:2]), words[0]) if name in commands())


def page_text(name: str, command: Any, outputs: dict[str, str]) -> str:
    """The source of a command's page, in Markdown."""
    context = typer.Context(command, info_name=f"striate {name}")
    lines = [f"# striate {name}", "", *_prose(command.help or ""), "", *_fenced(command.get_usage(context), "text"), ""]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        records = [
            each.get_help_record(context) for each in command.get_params(context) if each.param_type_name == kind
        ]
        if shown := [record for record in records if record]:
            lines += [f"## {title}", ""]
            for names, text in shown:
                lines += [f"`{names}`", f": {_escaped(text)}", ""]
    lines += ["## Examples", ""]
    for example in (each for each in outputs if command_of(each) == name):
        lines += [*_fenced(f"$ {example}\n{outputs[example]}".rstrip(), "console"), ""]
    return "\n".join(lines)


def run_examples() -> dict[str, str]:
    """Run the examples and return what each prints, or return what was kept of the last time if nothing has changed."""
    key = _state()
    whole = all((SHOWN / name).exists() for name in shown_files())
    if whole and KEPT.exists() and (kept := json.loads(KEPT.read_text(encoding="utf-8")))["key"] == key:
        return kept["outputs"]
    with tempfile.TemporaryDirectory() as folder:
        _prepare(Path(folder))
        outputs = {example: _output(example, folder) for example in examples()}
        shutil.rmtree(SHOWN, ignore_errors=True)
        SHOWN.mkdir(parents=True)
        for name, file in shown_files().items():
            shutil.copy(Path(folder) / file, SHOWN / name)
    KEPT.write_text(json.dumps({"key": key, "outputs": outputs}, indent=1), encoding="utf-8")
    return outputs


def write_pages(folder: Path, outputs: dict[str, str]) -> None:
    """Write a page for each command, and their contents, into a folder of Sphinx's sources."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [
        "# On the command line",
        "",
        "All commands; each page has its options, and examples with their output.",
        "",
    ]
    for name, command in commands().items():
        file = name.replace(" ", "-")
        (folder / f"{file}.md").write_text(page_text(name, command, outputs), encoding="utf-8")
        lines.append(f"- [`striate {name}`]({file}.md): {command.get_short_help_str(200)}")
    files = [name.replace(" ", "-") for name in commands()]
    lines += ["", "```{toctree}", ":hidden:", "", *files, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER, run_examples()))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _state() -> str:
    """A checksum of all that decides what the examples print."""
    checksum = hashlib.sha256()
    for path in [EXAMPLES, Path(__file__), *sorted((ROOT / "src").rglob("*.py"))]:
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


def _prepare(folder: Path) -> None:
    """Put scikit-learn's two photographs into the folder, and its digits, one folder a class, with a few mistakes."""
    import sklearn.datasets
    from PIL import Image

    for name in ("china.jpg", "flower.jpg"):
        shutil.copy(Path(sklearn.datasets.__path__[0]) / "images" / name, folder)
    digits = sklearn.datasets.load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images[:200], digits.target[:200], strict=True)):
        place = folder / "scans" / str(digit) / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255 / 16).round().astype("uint8")).save(place)
    # Mistakes that are to be found: a copy, two digits in the folders of others, an empty scan.
    shutil.copy(folder / "scans" / "2" / "2.png", folder / "scans" / "2" / "again.png")
    (folder / "scans" / "0" / "10.png").rename(folder / "scans" / "6" / "10.png")
    (folder / "scans" / "4" / "14.png").rename(folder / "scans" / "1" / "14.png")
    Image.new("L", (8, 8)).save(folder / "scans" / "8" / "empty.png")


def _output(example: str, folder: str) -> str:
    """What the example prints, both streams as a terminal shows them."""
    logger.info("running: %s", example)
    words = [sys.executable, "-m", "striate", *shlex.split(example)[1:]]
    ends = tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))["stopped"].get(example)
    with subprocess.Popen(
        words,
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=ends or LIMIT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT if ends else signal.SIGKILL)
            printed, _ = process.communicate()
    text = printed.decode("utf-8").replace(folder, "")
    if process.returncode not in ((0, INTERRUPTED) if ends else (0,)):
        raise RuntimeError(f"{example} ended with {process.returncode}:\n{text}")
    return text


def _prose(text: str) -> list[str]:
    return [_escaped(line) for line in text.splitlines()]


def _escaped(text: str) -> str:
    """Text in which Markdown has nothing to interpret but what is in backticks, where options are put, too."""
    marked = re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", " ".join(text.split()))
    parts = marked.split("`")
    for position in range(0, len(parts), 2):
        for mark in "\\*_[]<>{}$|":
            parts[position] = parts[position].replace(mark, "\\" + mark)
    return "`".join(parts)


def _fenced(text: str, language: str) -> list[str]:
    return [f"```{language}", *text.splitlines(), "```"]
