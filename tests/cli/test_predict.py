"""`striate predict`: any image file, one line or one JSON entry each."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import striate
from PIL import Image
from small_run import CLASSES, dataset, recipe

from striate.runs import Run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on three shapes. Read it only."""
    return train("mlp", dataset(), recipe(epochs=1), out=tmp_path_factory.mktemp("runs") / "shapes")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Image files of several formats, sizes and colours."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    paths = [tmp_path / name for name in ("a.png", "b.jpg", "c.webp", "Straße 猫.bmp")]
    for path in paths:
        Image.fromarray(pixels).save(path)
    return paths


def test_json_is_one_object(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "predict", run.path, *images, "--json", "--top", "2") == 0
    out, err = capsys.readouterr()
    predictions = json.loads(out)["predictions"]
    assert [each["path"] for each in predictions] == [str(path) for path in images]
    assert all(each["class"] in CLASSES and len(each["probabilities"]) == 2 for each in predictions)
    assert all(0 <= each["probability"] <= 1 for each in predictions)
    assert err == ""


def test_a_few_images_get_the_threads_that_they_can_use(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_num_threads()
    try:
        for environment, work, left in ((None, 10**9, 1), (None, 1, 2), ("2", 10**9, 2)):
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
            if environment:
                monkeypatch.setenv("OMP_NUM_THREADS", environment)
            monkeypatch.setattr("striate.acceleration.threads.WORK", work)
            torch.set_num_threads(2)
            assert striate(monkeypatch, "predict", run.path, images[0]) == 0
            assert torch.get_num_threads() == left
    finally:
        torch.set_num_threads(before)


def test_a_coverage_gives_sets(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "predict", run.path, *images, "--coverage", "0.9", "--json") == 0
    for each in json.loads(capsys.readouterr().out)["predictions"]:
        assert each["calibrated"]
        assert each["coverage"] == 0.9
        assert each["set"][0] == each["class"]
        assert set(each["set"]) <= set(CLASSES)
    assert striate(monkeypatch, "predict", run.path, images[0], "--coverage", "0.9") == 0
    assert each["class"] in capsys.readouterr().out
    assert striate(monkeypatch, "predict", run.path, images[0], "--coverage", "95") == 2
    assert "from 0.5 to 0.99" in capsys.readouterr().err


def test_what_is_not_calibrated_is_said(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "predict", run.path, images[0], "--tta", "flip") == 0
    assert "not calibrated for these views" in capsys.readouterr().err
    assert striate(monkeypatch, "predict", run.path, images[0], "--tta", "flip", "--coverage", "0.9") == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_views_are_averaged(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sure = {}
    for tta in ("none", "ten-crop"):
        assert striate(monkeypatch, "predict", run.path, images[0], "--tta", tta, "--json") == 0
        sure[tta] = json.loads(capsys.readouterr().out)["predictions"][0]["probabilities"]
    assert sure["none"].keys() == sure["ten-crop"].keys()
    assert sure["none"] != sure["ten-crop"]
    assert sum(sure["ten-crop"].values()) == pytest.approx(1)


def test_people_get_a_line_an_image(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "predict", run.path, *images) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(images)
    assert all(str(path) in line and " %" in line for path, line in zip(images, lines, strict=True))


def test_bad_files_are_named_together_and_nothing_is_printed(
    run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images[1].write_bytes(b"no image")
    code = striate(monkeypatch, "predict", run.path, *images, tmp_path / "missing.png", tmp_path, "--json")
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert all(str(path) in err for path in (images[1], tmp_path / "missing.png"))
    assert str(images[0]) not in err
    assert "Traceback" not in err


def test_folders_and_patterns_stand_for_their_images(
    run: Run, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("none")
    for named, expected in ((tmp_path, sorted(map(str, images))), (tmp_path / "[ab].*", [str(p) for p in images[:2]])):
        assert striate(monkeypatch, "predict", run.path, named, "--json") == 0
        assert [each["path"] for each in json.loads(capsys.readouterr().out)["predictions"]] == expected


@pytest.mark.slow
def test_a_pipe_is_read(run: Run, images: list[Path]) -> None:
    command = [sys.executable, "-m", "striate", "predict", str(run.path), "-", "--json"]
    told = subprocess.run(command, input=images[0].read_bytes(), capture_output=True, check=True)
    assert json.loads(told.stdout)["predictions"][0]["path"] == "/dev/stdin"


@pytest.mark.parametrize(
    ("named", "said"),
    [("https://example.com/a.jpg", "is an address: download"), ("*.jpeg", "no file matches *.jpeg"),
     ("empty", "empty is a folder without images")],
)  # fmt: skip
def test_what_names_no_image_is_refused(
    named: str, said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert striate(monkeypatch, "predict", run.path, named) == 2
    assert said in capsys.readouterr().err
