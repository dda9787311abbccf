"""`striate describe`, called as the command line calls it."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from striate.cli.describe import describe
from striate.errors import ArgumentError, CheckpointError
from striate.models import Architecture
from striate.preprocess import Preprocess
from striate.runs import Run
from striate.training import Recipe

app = typer.Typer()
app.command()(describe)


def call(*arguments: str) -> str:
    """Standard output; what the command raises is raised."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return done.stdout


def made_run(folder: Path, architecture: Architecture | None) -> Path:
    """A run folder as it is before the first step."""
    environment: dict[str, Any] = {"threads": 1, "device": "cpu"}
    run = Run(folder, architecture, "digits", False, ("a", "b"), Preprocess(16, 12, 1), Recipe(), environment, "")
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(run.to_dict()))
    return folder


def test_a_model_s_table() -> None:
    lines = call("lenet5").splitlines()
    assert lines[0].split()[:5] == ["layer", "type", "channels", "size", "window"]
    assert lines[-1].split() == ["total", "60,000", "340,908", "328,096"]


def test_json_is_one_object_on_one_line() -> None:
    out = call("fashion_cnn", "--json", "--classes", "3", "--channels", "3", "--image-size", "16")
    assert out.count("\n") == 1
    values = json.loads(out)
    assert values["input_shape"] == [3, 16, 16]
    assert values["layers"][-1]["maps"] == 3


def test_markdown() -> None:
    assert call("mlp", "--markdown").endswith("| 266,610 | 266,610 | 266,200 |\n")


def test_a_run_s_folder(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", Architecture("mlp", 2, 1, (16, 12)))
    values = json.loads(call(str(run), "--json"))
    assert (values["name"], values["input_shape"]) == ("mlp", [1, 16, 12])
    assert values["totals"]["parameters"] == 193 * 300 + 301 * 100 + 101 * 2


def test_a_folder_that_is_no_run_does_not_hide_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlp").mkdir()
    assert call("mlp").startswith("layer")
    made_run(tmp_path / "lenet5", Architecture("mlp", 2, 1, (16, 12)))
    assert json.loads(call("lenet5", "--json"))["name"] == "mlp"


def test_a_blur_is_asked_for_by_a_flag() -> None:
    table, same = call("fashion_cnn", "--antialias", "--json"), call("fashion_cnn:antialias=tri-4", "--json")
    assert table == same
    assert [row["type"] for row in json.loads(table)["layers"]].count("blur pool") == 3


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"unknown model 'lenet'\. Did you mean 'lenet5'.*fashion_cnn"):
        call("lenet")
    with pytest.raises(ArgumentError, match="--json and --markdown: choose one"):
        call("mlp", "--json", "--markdown")
    with pytest.raises(ArgumentError, match="classes=0"):
        call("mlp", "--classes", "0")
    with pytest.raises(CheckpointError, match=r"is no run: it holds no run\.json"):
        call(str(tmp_path))
    with pytest.raises(ArgumentError, match="is a run and has its own classes"):
        call(str(made_run(tmp_path / "run", Architecture("mlp", 2, 1, (8, 8)))), "--channels", "3")
    with pytest.raises(ArgumentError, match="the blur is asked for twice"):
        call("lenet5:antialias=bin-5", "--antialias")
    with pytest.raises(ArgumentError, match="describe that module"):
        call(str(made_run(tmp_path / "custom", None)))
