"""Of the outputs on the pages, sentences are wrapped and tables are not."""

import re

import pytest

from docs.building.outputs import wrapped

LONG = "The last layer is fitted to the features of 120 training images; the others stay as they are."


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        (LONG, True),
        ("  " + LONG, True),  # indented
        (f'<span class="go">{LONG}</span>', True),
        (f'<span class="go">{LONG}', False),  # goes on in the next line
        ("calibration error      10.93 %  confidence against accuracy", False),
        ("short", False),
        ("&lt;" * 10, False),
    ],
)
def test_sentences_are_marked(line: str, marked: bool) -> None:
    html = f'<div class="output stream highlight-myst-ansi"><div class="highlight"><pre>a\n{line}\nb</pre></div></div>'
    found = wrapped(html)
    assert ('class="sentence"' in found) == marked
    assert re.sub(r'<span class="sentence">(.*?)</span>\n', r"\1\n", found) == html


def test_code_is_left_as_it_is() -> None:
    html = f'<div class="highlight-python"><div class="highlight"><pre>{LONG}</pre></div></div>'
    assert wrapped(html) == html
