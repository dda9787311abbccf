"""`striate data`."""

import json
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from striate.cli.data import data
from striate.errors import ArgumentError, BadFilesError

app = typer.Typer()
app.command()(data)


def run(*arguments: str | Path) -> tuple[str, str]:
    """What was printed to standard output and to standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_the_facts_of_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = run()
    assert "digits: 10 classes; images of 8×8 pixels (height×width), 1 channel" in out
    assert out.splitlines()[2].split() == ["class", "train", "test"]
    assert "all    1,438   359" in out
    assert "mean 0.30" in out
    assert err == ""
    with Image.open(tmp_path / "digits-contact-sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_json_is_one_object_and_notes_go_to_standard_error(pets: Path, tmp_path: Path) -> None:
    out, err = run(pets, "--json", "--out", tmp_path / "new" / "sheet.png", "--image-size", "5", "--fit", "crop")
    facts = json.loads(out)
    assert len(out.splitlines()) == 1
    assert facts["splits"] == {
        "train": {"cats": 8, "dogs": 8},
        "val": {"cats": 1, "dogs": 1},
        "test": {"cats": 1, "dogs": 1},
    }
    assert (facts["height"], facts["width"], facts["channels"]) == (5, 5, 3)
    assert len(facts["mean"]) == len(facts["std"]) == 3
    assert facts["notes"] == err.splitlines() != []
    assert facts["contact_sheet"] == str(tmp_path / "new" / "sheet.png")
    assert (tmp_path / "new" / "sheet.png").is_file()


def test_an_unknown_fit_is_refused(pets: Path) -> None:
    with pytest.raises(ArgumentError, match="letterbox"):
        run(pets, "--fit", "squeeze")


def test_channels_are_taken(pets: Path, tmp_path: Path) -> None:
    assert json.loads(run(pets, "--json", "--channels", "1", "--out", tmp_path / "a.png")[0])["channels"] == 1


def test_bad_files_are_told_of_after_all_else_or_left_out(pets: Path, tmp_path: Path) -> None:
    (pets / "cats" / "3.png").write_text("damaged")
    with pytest.raises(BadFilesError, match=r"3\.png: not an image") as caught:
        run(pets, "--out", tmp_path / "a.png")
    assert caught.value.exit_code == 2
    assert (tmp_path / "a.png").exists()
    out, err = run(pets, "--skip-bad", "--json", "--out", tmp_path / "a.png")
    assert json.loads(out)["skipped"] == {str(pets / "cats" / "3.png"): "not an image"}
    assert "left out 1 file" in err


def test_a_contact_sheet_that_is_no_png_is_refused_before_loading(pets: Path) -> None:
    with pytest.raises(ArgumentError, match=r"choose a name in \.png"):
        run(pets, "--out", "sheet.jpg")


def test_the_size_of_the_cache_is_taken(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="8 bananas"):
        run(pets, "--cache-size", "8 bananas")
    assert "cats" in run(pets, "--cache-size", "1.5GB", "--out", tmp_path / "a.png")[0]
