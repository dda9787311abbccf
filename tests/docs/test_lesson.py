"""The first lesson's notebook is what its text says, and its cells run."""

from pathlib import Path

import nbformat
import pytest
import yaml

from docs.building.lesson import NOTEBOOK, TEXT, notebook


def test_the_notebook_is_what_the_text_gives() -> None:
    written = NOTEBOOK.read_text(encoding="utf-8")
    assert written == notebook(TEXT.read_text(encoding="utf-8")), "write it anew: python -m docs.building.lesson"


@pytest.mark.slow
def test_its_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, cell.id, "exec"), names)
    printed = capsys.readouterr().out
    assert names["evaluation"].accuracy > 0.95  # type: ignore[attr-defined]
    assert "test images are wrong" in printed


PAGES = [
    page
    for page in sorted((TEXT.parents[1] / "docs").rglob("*.md"))
    if page.read_text(encoding="utf-8").startswith("---\nfile_format")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_with_code_is_a_notebook_that_jupyter_opens(page: Path) -> None:
    head = yaml.safe_load(page.read_text(encoding="utf-8").split("---")[1])
    made = nbformat.v4.new_notebook(metadata={"kernelspec": head["kernelspec"]})  # as Jupytext does, which checks it
    assert made.metadata.kernelspec.name == "python3"
