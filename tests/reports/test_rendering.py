"""Pages are written where they should be, and show themselves in notebooks."""

from pathlib import Path

import pytest

from striate.errors import ArgumentError
from striate.reports import rendering
from striate.reports.rendering import Page, file_to_write


@pytest.mark.parametrize(("value", "text"), [(-0.004, "0.00"), (-0.006, "−0.01"), (0.25, "0.25")])
def test_a_zero_has_no_sign(value: float, text: str) -> None:
    assert rendering._decimals(value) == text


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert file_to_write(tmp_path / "a.html", "b.html") == tmp_path / "a.html"
    with pytest.raises(ArgumentError, match=r"is a folder: name the file to write, for example --out .*b\.html"):
        file_to_write(tmp_path, "b.html")


def test_a_page_is_its_path_and_shows_itself(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p class="x">ü</p>', encoding="utf-8")
    page = Page(tmp_path / "a.html")
    assert str(page) == page.__fspath__() == str(page.path) == str(tmp_path / "a.html")
    assert page == tmp_path / "a.html"
    assert type(page.path) is type(tmp_path)
    assert Path(page).read_text(encoding="utf-8") == page.html
    assert '<iframe srcdoc="&lt;p class=&quot;x&quot;&gt;ü&lt;/p&gt;"' in page._repr_html_()
