"""Rendering of pages from Jinja templates, and the filters that format values."""

import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from striate.errors import ArgumentError
from striate.files import write_atomic
from striate.units import duration, minus, percent


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """Render a template with the values: a page in UTF-8.

    Templates extend "base.html.j2": a page in one file, without network requests.
    """
    environment = Environment(
        loader=PackageLoader("striate.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "shown": _shown, "duration": duration, "basename": os.path.basename}
    environment.filters["decimals"] = _decimals
    return environment.get_template(template).render(values).encode("utf-8", "replace")


def file_to_write(path: str | Path, example: str) -> Path:
    """Return the path of a file to write, and refuse a folder.

    Raises:
        ArgumentError: if it is a folder; `example` is a name in it that would do.
    """
    path = Path(path)
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder: name the file to write, for example --out {path / example}.")
    return path


def _shown(value: Any) -> str:
    """A table value as text: 48,120 and 5×5, and nothing for `None`."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return "×".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _percent(fraction: float | None, digits: int = 2) -> str:
    return percent(fraction, digits).replace(" ", "\N{NO-BREAK SPACE}")


def _decimals(value: float, digits: int = 2) -> str:
    """A number, without a minus sign before a zero."""
    return minus(f"{value:z.{digits}f}")


_FilePath: type[Path] = type(Path())  # before Python 3.12, Path itself can't be a base class


class Page(_FilePath):  # type: ignore[misc, valid-type]
    """The path of an HTML page, which shows the page in a notebook.

    >>> page = striate.explain(run, data.test.images[0].numpy(), out="page.html")
    >>> page.html[:15], page.is_file()
    ('<!doctype html>', True)
    """

    @property
    def path(self) -> Path:
        """The path alone."""
        return Path(self)

    @property
    def html(self) -> str:
        """The page as text."""
        return self.path.read_text(encoding="utf-8")

    def _repr_html_(self) -> str | None:
        """The page in a frame of its own, for notebooks; `None` for a path made of this one that is no file."""
        if not self.path.is_file():
            return None
        return f'<iframe srcdoc="{html.escape(self.html)}" width="100%" height="720" style="border:0"></iframe>'


def write_page(path: Path, template: str, values: Mapping[str, Any]) -> Page:
    """Render a page into a file; what was there before stays if it can't be written.

    Raises:
        StorageError: if the file can't be written.
    """
    write_atomic(path, render(template, values))
    return Page(path)
