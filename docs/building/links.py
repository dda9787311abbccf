"""Pages of the site that stand outside docs/, and the links to them, which work on GitHub as they are written."""

import re
from pathlib import Path
from typing import Any

from sphinx.util import logging

ROOT = Path(__file__).parents[2]
OUTSIDE = {"benchmarks/README.md": "benchmarks/index.md", "SECURITY.md": "security.md"}  # in the repository, in docs/
_PAGE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)*(?:lenet5|shown/\w+)\.html)\)")
# What a browser fetches by itself. Links to elsewhere are no matter.
_FETCHED = re.compile(r"""<(?!a\b)[a-z]+\b[^>]*?\s(?:src|href|data)=["'](?:https?:)?//[^"']*""")


def linked(page: str, source: str) -> str:
    """The source of a page with links to files outside docs/ led to the pages that show them."""
    depth = page.count("/")
    for there, here in OUTSIDE.items():
        source = source.replace(f"]({'../' * (depth + 1)}{there})", f"](/{here})")
    return _PAGE.sub(r'<a href="\2">\1</a>', source)  # to be opened; Sphinx would have it downloaded


def fetched(page: str) -> list[str]:
    """The tags of an HTML page by which a browser would fetch something from elsewhere."""
    return _FETCHED.findall(page)


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("source-read", _read)
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(app: Any, page: str, source: list[str]) -> None:
    source[0] = linked(page, source[0])


def _check(app: Any, exception: Exception | None) -> None:
    for path in [] if exception else sorted(Path(app.outdir).rglob("*.html")):
        for tag in fetched(path.read_text(encoding="utf-8")):
            logging.getLogger(__name__).warning("%s would fetch from elsewhere: %s", path, tag)
