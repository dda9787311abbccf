"""`striate report`: prints the path of the page it wrote."""

from pathlib import Path

import pytest
from command_line import striate
from small_run import recipe

from striate.runs import Run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose own data can be loaded again. Only the report is written to it."""
    return train("mlp", "digits", recipe(epochs=1, augment="none"), out=tmp_path_factory.mktemp("runs") / "digits")


@pytest.mark.slow
def test_it_says_where_the_report_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "report", run.path) == 0
    assert capsys.readouterr().out == f"{run.path / 'report.html'}\n"
    html = (run.path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Architecture</h2>" in html
    assert "50,610" in html


@pytest.mark.slow
def test_out_names_the_file_and_a_folder_is_made_for_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "report", run.path, "--out", tmp_path / "new" / "page.html") == 0
    assert (tmp_path / "new" / "page.html").is_file()


@pytest.mark.slow
def test_a_place_that_cant_be_written_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert striate(monkeypatch, "report", run.path, "--out", tmp_path) == 2
    assert striate(monkeypatch, "report", run.path, "--out", tmp_path / "file" / "page.html") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    assert "Traceback" not in err
