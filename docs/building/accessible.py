"""Mending of what Sphinx, its theme and MyST-NB write and an accessibility checker objects to."""

import re
from typing import Any

# A long signature is a list of definitions without terms, inside the term of another list.
_SIGNATURE = re.compile(
    r'(<span class="sig-paren">\(</span>)\s*<dl>(.*?)</dl>(\s*<span class="sig-paren">\))', re.DOTALL
)


def mended(html: str) -> str:
    """A part of a page, as it should be for those who hear it or move by keyboard."""
    html = html.replace('role="heading"', 'role="heading" aria-level="2"')  # captions of the navigation
    html = html.replace(' aria-label="Toggle hidden content"', "")  # says other than what is seen
    return _SIGNATURE.sub(_lines, html)


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx, after the theme, whose priority is 500."""
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _lines(found: re.Match[str]) -> str:
    lines = found[2].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f"{found[1]}{lines}{found[3]}"


def _mend(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    for part in ("body", "furo_navigation_tree"):
        if context.get(part):
            context[part] = mended(context[part])
