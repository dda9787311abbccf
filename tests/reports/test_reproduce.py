"""The command in the report makes the run again."""

import shlex
from pathlib import Path

import pytest
from small_run import dataset
from torch import nn

from striate.cli.main import app
from striate.data import load
from striate.reports.reproduce import command
from striate.runs import Run, train
from striate.training import Recipe, recipe


@pytest.mark.parametrize(
    "settings",
    [
        recipe("modern", "mlp").replace(epochs=1),
        recipe("paper", "mlp").replace(epochs=1, seed=3, nesterov=False),
        Recipe(epochs=1, name="my own", augment="shift=0.1,rotate=5", label_smoothing=0.05, schedule="cosine"),
    ],
    ids=["modern", "paper", "own"],
)
def test_the_command_gives_the_same_weights(settings: Recipe, tmp_path: Path) -> None:
    first = train("mlp", load("digits", image_size=10, fit="stretch"), settings, out=tmp_path / "first", device="cpu")
    words = shlex.split(command(first) or "")
    assert words[:3] == ["striate", "train", "mlp"]
    app([*words[1:], "--out", str(tmp_path / "again"), "--device", "cpu"], standalone_mode=False)
    again = Run.open(tmp_path / "again")
    assert again.recipe.replace(name="") == first.recipe.replace(name="")
    assert again.preprocess.to_dict() == {**first.preprocess.to_dict(), "fit": again.preprocess.fit}
    assert first.result is not None
    assert again.result is not None
    assert again.result["sha256"] == first.result["sha256"]


def test_a_default_run_needs_no_settings(digits_run: Run) -> None:
    plain = command(digits_run) or ""
    assert "--seed" not in plain
    assert "--skip-bad" not in plain
    assert "--data digits" in plain


def test_a_recipe_of_another_model_is_spelled_out(tmp_path: Path) -> None:
    borrowed = recipe("paper", "lenet5").replace(epochs=1, loss="cross-entropy")
    again = command(train("lenet5_modern", dataset(), borrowed, out=tmp_path / "run")) or ""
    assert "--recipe" not in again
    assert "--set schedule=cosine" in again


def test_a_module_of_ones_own_has_no_command(tmp_path: Path) -> None:
    run = train(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), dataset(), Recipe(epochs=1), out=tmp_path / "run")
    assert command(run) is None
