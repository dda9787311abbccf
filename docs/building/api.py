"""Pages of the Python reference: one for each public name, written before Sphinx reads its sources.

A name that several packages have, such as `striate.evaluate` and `striate.evaluation.evaluate`, has one page.
"""

import ast
import doctest
import importlib
import inspect
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

from sphinx.pycode import ModuleAnalyzer

import striate
from docs.building.docstrings import escaped

FOLDER = Path("reference") / "python"
#: What the examples in docstrings take as given, besides the names of their own package.
BEGINNING = """\
import numpy as np
import torch
from torch import nn

import striate

data = striate.load("digits")
run = striate.train("mlp", data, epochs=1)
"""
KINDS = {"class": "autoclass", "function": "autofunction", "value": "autodata"}


@dataclass(frozen=True)
class Entry:
    """A public name: as it is imported, where else it is found, its kind, and its documentation."""

    name: str
    also: tuple[str, ...]
    kind: str
    documentation: str

    @property
    def summary(self) -> str:
        """The first paragraph on one line."""
        return " ".join(self.documentation.partition("\n\n")[0].split())

    def example(self, given: dict[str, Any]) -> doctest.DocTest:
        """The example, ready to run: with what `BEGINNING` gives, and the names of its own package."""
        path = self.name.rpartition(".")[0]
        package = importlib.import_module(path)
        own = {} if package is striate else {name: getattr(package, name) for name in public(package)}
        return doctest.DocTestParser().get_doctest(self.documentation, given | own, self.name, None, None)

    @property
    def page(self) -> str:
        """The page's file without its ending. It names the kind, as some systems take Audit and audit for the same."""
        return f"{self.name}.{self.kind}"

    def text(self) -> str:
        """The page's source."""
        also = f"\nAlso as {', '.join(f'``{name}``' for name in self.also)}.\n" if self.also else ""
        return f"{_title(self.name)}\n.. currentmodule:: {self.name.rpartition('.')[0]}\n\n{self._directive()}{also}"

    def _directive(self) -> str:
        if self.kind != "value":
            return f".. {KINDS[self.kind]}:: {self.name}\n"
        package, _, name = self.name.rpartition(".")
        value = repr(getattr(importlib.import_module(package), name))
        shown = f"   :value: {value}\n" if len(value) < 80 else ""
        example = "".join(f"   {line}\n" for line in self.documentation.partition("\n\n")[2].splitlines())
        return f".. py:data:: {self.name}\n{shown}\n   {escaped(self.summary)}\n\n{example}"


def packages() -> dict[str, ModuleType]:
    """The public packages by name, the root first."""
    return {"striate": striate} | {
        f"striate.{name}": importlib.import_module(f"striate.{name}") for name in striate._PACKAGES
    }


def public(package: ModuleType) -> list[str]:
    """The public names of a package that are not packages themselves."""
    names = getattr(package, "__all__", None) or [
        name for name, value in vars(package).items() if getattr(value, "__module__", "") == package.__name__
    ]
    return [name for name in names if not inspect.ismodule(getattr(package, name)) and not name.startswith("_")]


def entries() -> list[Entry]:
    """Every public name once, with the shortest of the names that it is imported by."""
    places: dict[Any, list[tuple[str, Any, ModuleType]]] = {}
    for path, package in packages().items():
        for name in public(package):
            value = getattr(package, name)
            identity = id(value) if _kind(value) != "value" else (path, name)
            places.setdefault(identity, []).append((f"{path}.{name}", value, package))
    found = []
    for (name, value, package), *others in places.values():
        kind = _kind(value)
        documentation = _comment(package, name) if kind == "value" else inspect.getdoc(value) or ""
        found.append(Entry(name, tuple(other for other, *_ in others), kind, documentation))
    return found


def write_pages(folder: Path) -> None:
    """Write the pages and their contents into a folder of Sphinx's sources; pages of names that are gone go, too."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listed = entries()
    for entry in listed:
        (folder / f"{entry.page}.rst").write_text(entry.text(), encoding="utf-8")
    for path, package in packages().items():
        (folder / f"{path}.rst").write_text(_contents(path, package, listed), encoding="utf-8")
    contents = "".join(f"   {path}\n" for path in packages())
    beginning = "".join(f"   {line}\n" for line in BEGINNING.splitlines())
    index = (
        f"{_title('In Python')}\nAll public names, package by package. Each has an example, which begins where these "
        f"lines end, with the names of its own package imported (``from striate.layers import *``):\n\n"
        f".. code-block:: python\n\n{beginning}\n.. toctree::\n   :maxdepth: 1\n\n{contents}"
    )
    (folder / "index.rst").write_text(index, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _contents(path: str, package: ModuleType, listed: list[Entry]) -> str:
    """A package's page: its names with their first lines."""
    summary, _, rest = (inspect.getdoc(package) or "").partition("\n\n")
    block = ["::", "", *(f"   {line}" for line in rest.splitlines()), ""] if "──" in rest else [rest, ""]
    lines = [_title(path), summary, "", *block, ".. list-table::", "   :widths: auto", ""]
    own = [entry for name in public(package) for entry in listed if f"{path}.{name}" in (entry.name, *entry.also)]
    for entry in own:
        lines += [f"   * - :doc:`{entry.name.rpartition('.')[2]} <{entry.page}>`", f"     - {escaped(entry.summary)}"]
    hidden = [f"   {entry.page}" for entry in own if entry.name.rpartition(".")[0] == path]
    return "\n".join([*lines, "", ".. toctree::", "   :hidden:", "", *hidden, ""])


def _kind(value: Any) -> str:
    if inspect.isclass(value) and not isinstance(value, GenericAlias):
        return "class"
    if isinstance(value, GenericAlias):
        return "value"
    return "function" if callable(value) and hasattr(value, "__module__") and hasattr(value, "__name__") else "value"


def _comment(package: ModuleType, name: str) -> str:
    """The comment "#: ..." of a constant, in the module that the package imports it from."""
    name = name.rpartition(".")[2]
    for node in ast.walk(ast.parse(inspect.getsource(package))):
        for each in node.names if isinstance(node, ast.ImportFrom) else ():
            if name == (each.asname or each.name):
                lines = ModuleAnalyzer.for_module(node.module or "").find_attr_docs().get(("", each.name), [])
                return "\n".join(lines)
    return ""


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"
