"""What an accessibility checker objects to in the theme's and the extensions' HTML is mended."""

import pytest

from docs.building.accessible import mended

SIGNATURE = (
    '<dl class="py"><dt><span class="sig-paren">(</span>\n\n<dl>\n<dd><em>model</em>,</dd>\n'
    "<dd><em>data</em>,</dd>\n</dl>\n\n"
    '<span class="sig-paren">)</span></dt><dd><dl class="field-list"><dt>Raises</dt><dd>x</dd></dl></dd></dl>'
)


def test_a_long_signature_has_lines_and_no_list() -> None:
    found = mended(SIGNATURE)
    assert found.count('<span class="sig-line"><em>') == 2
    assert found.count("<dl") == found.count("</dl>") == 2
    assert found.endswith('<dl class="field-list"><dt>Raises</dt><dd>x</dd></dl></dd></dl>')


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
        ('<summary aria-label="Toggle hidden content">', "<summary>"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "<dl><dt>a</dt><dd>b</dd></dl>"),
    ],
)
def test_the_rest_stays(html: str, expected: str) -> None:
    assert mended(html) == expected
