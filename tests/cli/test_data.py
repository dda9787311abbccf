"""`striate data`."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from html_page import Page
from PIL import Image
from typer.testing import CliRunner

from striate import models
from striate.cli.data import data
from striate.errors import ArgumentError, BadFilesError, StorageError

app = typer.Typer()
app.command()(data)


@pytest.fixture(autouse=True)
def without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """No features are computed here, whatever is installed."""
    monkeypatch.setattr(models, "on_this_machine", lambda name: None)


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


def test_a_page_that_is_a_folder_is_refused_before_loading(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"--html .* is a folder: name the file"):
        run(tmp_path / "nothing", "--html", tmp_path)


def test_the_size_of_the_cache_is_taken(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="8 bananas"):
        run(pets, "--cache-size", "8 bananas")
    assert "cats" in run(pets, "--cache-size", "1.5GB", "--out", tmp_path / "a.png")[0]


def test_what_is_packed_can_be_checked(striate: Callable, pets: Path, tmp_path: Path) -> None:
    answer = striate("data", "pack", pets, tmp_path / "out", "--shard-size", "25 kB", "--seed", "3")
    assert answer.code == 0
    shards = len(list((tmp_path / "out").iterdir()))
    assert shards > 3
    assert answer.out == (
        f"16 train, 2 val, 2 test images in {shards} shards; train on them with --data {tmp_path / 'out'}\n"
    )
    some = f"{tmp_path}/out/{{test-000000,train-{{000000..000001}}}}.tar"
    told = striate("data", some, "--json", "--out", tmp_path / "a.png")
    assert set(json.loads(told.out)["splits"]) == {"train", "test"}
    assert "train has 2 of its" in told.err


@pytest.mark.parametrize("size", ["big", "-1", "0", "12 parsecs"])
def test_a_size_that_is_none_is_refused(striate: Callable, pets: Path, tmp_path: Path, size: str) -> None:
    answer = striate("data", "pack", pets, tmp_path / "out", f"--shard-size={size}")
    assert answer.code == 2
    assert size in answer.err
    assert answer.err.count("\n") == 1


def test_bad_files_are_named_or_left_out(striate: Callable, pets: Path, tmp_path: Path) -> None:
    (pets / "cats" / "3.png").write_text("no image")
    answer = striate("data", "pack", pets, tmp_path / "out")
    assert answer.code == 2
    assert f"{pets / 'cats' / '3.png'}: not an image" in answer.err
    answer = striate("data", "pack", pets, tmp_path / "out", "--skip-bad")
    assert answer.code == 0
    assert answer.err == f"left out {pets / 'cats' / '3.png'}: not an image\n"


def test_data_alone_still_takes_any_source(
    striate: Callable, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pets.rename(tmp_path / "pack")
    for arguments in (["./pack"], ["--json", "pack"]):
        answer = striate("data", *arguments)
        assert answer.code == 0
        assert "cats" in answer.out
    assert striate("data", "pack").code == 2


def test_help_tells_of_both(striate: Callable) -> None:
    assert re.search(r"\n  data pack +Write a folder", striate("--help").out)
    assert "striate data pack" in striate("data", "--help").out
    assert "striate data pack [OPTIONS]" in striate("data", "pack", "--help").out


def test_the_contact_sheet_of_a_pattern_has_a_plain_name(
    striate: Callable, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    striate("data", "pack", pets, "out")
    assert striate("data", "out/{train,val}-000000.tar").code == 0
    assert (tmp_path / "train-val-000000.tar-contact-sheet.png").is_file()


# ---------------------------------------------------------------- mistakes in the data


@pytest.fixture
def leaking(pets: Path) -> Path:
    """The pets in train, and in test two of them and one of train saved again, as a dog."""
    folder = pets.parent / "leaking"
    folder.mkdir()
    pets.rename(folder / "train")
    for name in ("cats", "dogs"):
        (folder / "test" / name).mkdir(parents=True)
        for number in range(10):  # what was noise is now the same for both
            with Image.open(folder / "train" / name / f"{number}.png") as image:
                large = image.resize((90, 80), Image.Resampling.BICUBIC)
                large.transpose(Image.Transpose.ROTATE_180 if name == "dogs" else Image.Transpose.FLIP_LEFT_RIGHT).save(
                    folder / "train" / name / f"{number}.png"
                )
    shutil.copy(folder / "train" / "cats" / "4.png", folder / "test" / "cats" / "same.png")
    with Image.open(folder / "train" / "cats" / "5.png") as image:
        image.save(folder / "test" / "dogs" / "again.jpg", quality=85)
    return folder


def test_training_images_in_the_test_set_are_told(leaking: Path, tmp_path: Path) -> None:
    out, _ = run(leaking, "--out", tmp_path / "a.png")
    assert "2 test images are training images, too: a test set with training images in it measures nothing" in out
    assert "pip install 'striate[pretrained]'" in out
    assert "page:" not in out
    again, same = (line for line in out.splitlines() if ".png, " in line)
    assert same.split(": ")[0] == "  in train and test, all cats (same file)"
    assert again.split(": ")[0] == "  in train and test, as cats and dogs (nearly the same pixels)"
    assert "striate[pretrained]" not in run(leaking, "--quick", "--out", tmp_path / "a.png")[0]


def test_findings_are_in_json_and_on_the_page(leaking: Path, tmp_path: Path) -> None:
    out, _ = run(leaking, "--json", "--out", tmp_path / "a.png", "--html", tmp_path / "data.html")
    facts = json.loads(out)
    assert facts["page"] == str(tmp_path / "data.html")
    found = facts["audit"]
    assert (found["images"], found["leaked"], found["model"]) == (22, {"test": 2}, None)
    (first, second) = found["copies"]
    assert first["leaks"]
    assert second["leaks"]
    assert {image["label"] for image in first["images"]} != {image["label"] for image in second["images"]}
    page = Page(tmp_path / "data.html")
    assert page.tags.count("img") == 4
    assert "2 findings in 22 images" in page.text


@pytest.mark.slow
def test_training_says_so_too(striate: Callable, leaking: Path, tmp_path: Path) -> None:
    answer = striate("train", "mlp", "--data", leaking, "--epochs", 1, "--image-size", 48, "--out", tmp_path / "run")
    assert answer.code == 0
    (line,) = (line for line in answer.err.splitlines() if "test images show" in line)
    assert line.startswith("2 of 2 test images show a picture of the training images, such as ")
    assert line.endswith("a test set with training images in it measures nothing; striate data --html lists them")


def test_what_was_found_is_told_where_its_picture_cannot_be_written(striate, pets, tmp_path, monkeypatch):
    def refuse(path, data):
        raise StorageError(f"can't write {path}: Permission denied.")

    monkeypatch.setattr("striate.files.write_atomic", refuse)
    answer = striate("data", pets, "--quick", "--json", "--out", tmp_path / "sheet.png")
    assert answer.code == 1
    assert json.loads(answer.out)["classes"] == ["cats", "dogs"]
    assert json.loads(answer.out)["contact_sheet"] is None
    assert answer.err.endswith("Permission denied.\n")


def test_the_limit_of_pixels_is_an_option(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_MAX_PIXELS", "")  # so that what the command sets ends with this test
    Image.new("RGB", (20, 20)).save(pets / "cats" / "large.png")
    with pytest.raises(BadFilesError, match=r"large\.png: too large: 0 million pixels, and --max-pixels"):
        run(pets, "--max-pixels", "399", "--out", tmp_path / "sheet.png")
    run(pets, "--max-pixels", "400", "--out", tmp_path / "sheet.png")
