"""`striate evaluate`: one result on standard output, everything else on standard error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import striate
from small_run import dataset, recipe

from striate.runs import Run, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose own data can be loaded again. Read it only."""
    return train("mlp", "digits", recipe(epochs=1, augment="none"), out=tmp_path_factory.mktemp("runs") / "digits")


def test_json_is_the_runs_result(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert striate(monkeypatch, "evaluate", run.path, "--json") == 0
    out, err = capsys.readouterr()
    values = json.loads(out)
    assert run.result is not None
    assert {key: values[key] for key in ("accuracy", "top1_error", "top5_error", "loss", "n", "split")} == {
        key: run.result[key] for key in ("accuracy", "top1_error", "top5_error", "loss", "n", "split")
    }
    assert len(values["per_class"]) == len(values["confusion"]) == 10
    assert err == ""


def test_people_get_a_table(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert striate(monkeypatch, "evaluate", run.path) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("digits, test: 359 images\n")
    assert "95 % interval" in out


def test_views_are_averaged(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert striate(monkeypatch, "evaluate", run.path, "--tta", "shifts", "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["tta"] == "shifts"
    assert run.result is not None
    assert values["loss"] != run.result["loss"]
    assert striate(monkeypatch, "evaluate", run.path, "--tta", "shift") == 2
    assert "Did you mean 'shifts'?" in capsys.readouterr().err


def test_what_cant_be_evaluated_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert striate(monkeypatch, "evaluate", tmp_path, "--json") == 2
    assert striate(monkeypatch, "evaluate", run.path, "--data", "digitz") == 2
    assert striate(monkeypatch, "evaluate", run.path, "--device", "tpu") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()] == ["striate"] * 3
    assert "Traceback" not in err


def test_other_classes_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes = train("mlp", dataset(), recipe(epochs=1), out=tmp_path / "shapes")
    assert striate(monkeypatch, "evaluate", shapes.path, "--data", "digits") == 2
    assert "unknown to the run: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; missing in the data: cross, bar, dot" in (
        capsys.readouterr().err
    )


def test_the_commands_import_nothing_heavy() -> None:
    code = "import sys, striate.cli.evaluate, striate.cli.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "PIL", "matplotlib", "jinja2", "sklearn"}.isdisjoint(done.stdout.split())
