"""What is trained if nothing is asked for."""

from pathlib import Path

import pytest
from PIL import Image

from striate.runs import defaults as module
from striate.runs.defaults import usual


def folder(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    for name in ("ant", "bee"):
        (path / name).mkdir(parents=True)
        for number in range(8):
            Image.new(mode, size).save(path / name / f"{number}.png")
    return path


def test_named_data_have_their_own_defaults():
    assert (usual("digits").model, usual("digits").recipe) == ("lenet5", "modern")
    assert (usual("mnist").model, usual("mnist").recipe) == ("quicknet_m", "fast")


@pytest.mark.parametrize(
    ("size", "mode", "model", "image_size"),
    [
        ((500, 375), "RGB", "efficientnet_lite0", None),
        ((100, 100), "RGB", "efficientnet_lite0", 224),
        ((500, 375), "L", "quicknet_m", None),
        ((32, 32), "RGB", "quicknet_m", None),
    ],
)
def test_photographs_begin_from_pretrained_weights(tmp_path: Path, size, mode: str, model: str, image_size):
    found = usual(folder(tmp_path / "data", size, mode))
    assert (found.model, found.image_size) == (model, image_size)
    assert (found.recipe, found.weights) == (
        ("transfer", "imagenet") if model == "efficientnet_lite0" else ("fast", None)
    )
    assert "--data" in found.note, "it says how to choose otherwise"


def test_without_the_weights_it_says_what_they_would_bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "on_this_machine", lambda name: None)
    found = usual(folder(tmp_path / "data", (300, 200)))
    assert (found.model, found.recipe, found.weights) == ("quicknet_m", "fast", None)
    assert "pip install 'striate[pretrained]'" in found.note
