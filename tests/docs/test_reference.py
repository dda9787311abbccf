"""The reference is whole: each public name and command has its page, and no page is of anything else."""

import importlib
import inspect
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import striate
from docs.building import api, commands
from docs.building.docstrings import escaped
from docs.building.links import fetched, linked
from docs.building.outside import inventories

HIDDEN = {"acceleration", "cli", "processes", "serving"}  # packages that are not reached through `striate`


def public_names() -> set[str]:
    names = {f"striate.{name}" for name in striate.__all__}
    for module in pkgutil.iter_modules(striate.__path__):
        if module.ispkg and module.name not in HIDDEN:
            package = importlib.import_module(f"striate.{module.name}")
            names |= {f"striate.{module.name}.{name}" for name in package.__all__}
    return names


@pytest.mark.slow
def test_every_public_name_has_a_page_and_no_page_is_without_its_name(tmp_path: Path) -> None:
    api.write_pages(tmp_path / "python")
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "python").glob("*.rst")}
    told = {name for entry in api.entries() for name in (entry.name, *entry.also)} | set(api.packages())
    assert public_names() - told == set()
    assert {entry.page for entry in api.entries()} | set(api.packages()) | {"index"} == set(pages)
    for name in told - set(api.packages()):
        assert any(name in text.replace("``", " ").split() or f":: {name}\n" in text for text in pages.values()), name


def test_every_public_name_says_what_it_is() -> None:
    assert [entry.name for entry in api.entries() if not entry.summary] == []


def test_pages_differ_where_file_names_ignore_case() -> None:
    pages = [entry.page.lower() for entry in api.entries()]
    assert len(set(pages)) == len(pages)


def test_pages_of_names_that_are_gone_go(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "striate.gone.function.rst").touch()
    api.write_pages(tmp_path / "python")
    assert not (tmp_path / "python" / "striate.gone.function.rst").exists()


def test_options_in_the_text_of_a_page_keep_their_two_dashes() -> None:
    text = commands.page_text("train", commands.commands()["train"], {})
    assert ": Training time instead of `--epochs`: 90s" in text
    assert "With `--data` alone" in text


def test_every_command_has_an_example_and_every_option_is_on_its_page() -> None:
    outputs = dict.fromkeys(commands.examples(), "output")
    assert {commands.command_of(example) for example in outputs} == set(commands.commands())
    for name, command in commands.commands().items():
        text = commands.page_text(name, command, outputs)
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or all(option in text for option in parameter.opts)


@pytest.mark.parametrize("example", commands.examples())
def test_examples_are_understood(example: str) -> None:
    name = commands.command_of(example)
    words = shlex.split(example)[1 + len(name.split()) :]
    context = commands.commands()[name].make_context(name, words)
    assert not inspect.isabstract(context.command)


def test_the_gallery_shows_what_the_examples_write_and_nothing_else() -> None:
    gallery = (Path(commands.__file__).parents[1] / "gallery.md").read_text(encoding="utf-8")
    assert set(re.findall(r"shown/([\w.]+)", gallery)) == set(commands.shown_files())
    assert linked("gallery", "[a](shown/report.html)") == '<a href="shown/report.html">a</a>'


LEARN = sorted((Path(commands.__file__).parents[1] / "learn").glob("*.md"))


@pytest.mark.parametrize("page", [page for page in LEARN if page.stem != "index"], ids=lambda page: page.stem)
def test_pages_to_learn_from_end_with_exercises_whose_answers_are_folded(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    exercises = text.partition("## Exercises")[2]
    asked = re.findall(r"^(\d)\. ", exercises.partition("<details>")[0], re.MULTILINE)
    assert len(asked) >= 2
    answers = exercises.partition("<details><summary>Answers</summary>")[2]
    assert all(re.search(rf"\b{number}\\?\.", answers) for number in asked)
    assert text.rstrip().endswith("</details>")


def test_links_to_other_projects_are_read_as_written(tmp_path: Path) -> None:
    for address, path in inventories(tmp_path).values():
        found = InventoryFile.loads(Path(path).read_bytes(), uri=address)
        assert address.startswith("https://")
        assert all(item.uri.startswith(address) for items in found.data.values() for item in items.values())


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ('<script defer src="https://cdn.example/a.js">', True),
        ('<link rel="stylesheet" href="//cdn.example/a.css">', True),
        ('<a class="external" href="https://example.org">', False),
        ('<img src="../_images/a.png">', False),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(tag: str, found: bool) -> None:
    assert bool(fetched(tag)) == found


def test_links_to_pages_outside_docs_lead_to_where_the_site_has_them() -> None:
    assert linked("benchmarks/epyc", "[a](../../benchmarks/README.md)") == "[a](/benchmarks/index.md)"
    assert linked("reliability", "[a](../SECURITY.md)") == "[a](/security.md)"
    assert linked("learn/lenet5", "[one\npage](../lenet5.html)") == '<a href="../lenet5.html">one\npage</a>'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("the `Tensor`s of *args", r"the `Tensor`\ s of \*args"),
        ("`a*b` and x_", r"`a*b` and x\_"),
        ("|f''| of snake_case", r"\|f''\| of snake_case"),
    ],
)
def test_docstrings_have_no_markup_but_backticks(line: str, expected: str) -> None:
    assert escaped(line) == expected
