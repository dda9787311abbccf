"""Outputs on the pages: lines that are sentences are wrapped, as a terminal wraps them; lines of tables are not."""

import re
from html import unescape
from typing import Any

WIDTH = 36  # characters that fit on the narrowest screen
_OUTPUT = re.compile(
    r'(<div class="(?:output stream|output text_plain|highlight-console)[^"]*"><div class="highlight"><pre>)'
    r"(.*?)(</pre>)",
    re.DOTALL,
)


def wrapped(html: str) -> str:
    """A part of a page, the sentences in its outputs marked for site.css."""
    return _OUTPUT.sub(lambda found: found[1] + "\n".join(map(_line, found[2].split("\n"))) + found[3], html)


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx, after the theme, whose priority is 500."""
    app.connect("html-page-context", _wrap, priority=901)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _line(line: str) -> str:
    text = unescape(re.sub(r"<[^>]*>", "", line))
    in_columns = re.search(r"\S {2,}\S", text)
    if len(text) <= WIDTH or in_columns or line.count("<span") != line.count("</span"):
        return line
    return f'<span class="sentence">{line}</span>'


def _wrap(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if context.get("body"):
        context["body"] = wrapped(context["body"])
