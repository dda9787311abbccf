"""`striate compare` as a person calls it: what it prints, what it leaves, and how it goes on."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from several import Several

ONE = ("--epochs", 1, "--seeds", 1, "--device", "cpu")


def assert_one_line(answer, code: int, *parts: str) -> None:
    assert answer.code == code
    last = answer.err.strip().splitlines()[-1]
    assert last.startswith("striate: ")
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in last


@pytest.mark.slow
def test_it_trains_measures_and_shows_and_goes_on_with_more(striate, tmp_path: Path):
    out = tmp_path / "out"
    first = striate("compare", "mlp", *ONE, "--out", out)
    assert first.code == 0
    assert first.out.startswith("digits, test: 359 images, 10 classes")
    assert "mlp, seed 0 (1 of 1)" in first.err
    assert f"{out / 'comparison.html'}" in first.err
    weights = (out / "mlp" / "seed-0" / "model.safetensors").read_bytes()

    more = ("compare", "mlp", "lenet5_modern", "--epochs", 1, "--seeds", 2, "--device", "cpu", "--out", out)
    second = striate(*more, "--json")
    assert second.code == 0
    values = json.loads(second.out)
    assert second.out.count("\n") == 1
    assert {each["model"]: each["seeds"] for each in values["models"]} == {"mlp": [0, 1], "lenet5_modern": [0, 1]}
    result = json.loads((out / "mlp" / "seed-0" / "result.json").read_text())
    (mlp,) = (each for each in values["models"] if each["model"] == "mlp")
    assert mlp["accuracies"][0] == pytest.approx(result["accuracy"])
    assert mlp["multiply_adds"] == 50200
    assert mlp["curve"][-1][1] == pytest.approx(mlp["accuracy"])
    assert (out / "mlp" / "seed-0" / "model.safetensors").read_bytes() == weights
    kept = json.loads((out / "comparison.json").read_text())
    assert kept["request"]["models"] == ["mlp", "lenet5_modern"]
    assert kept["result"] == {key: value for key, value in values.items() if key not in ("folder", "page")}
    assert Path(values["page"]).read_text().count("<svg") == 4

    third = striate(*more)
    assert (third.code, third.err.count("finished before, and kept")) == (0, 4)
    assert "epoch 1/1" not in third.err

    assert_one_line(striate(*more, "--augment", "none"), 2, "was begun without augment", "--out")
    assert_one_line(striate(*more, "--set", "momentum=0.5"), 2, "was begun without momentum, not with momentum=0.5")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["mlp", "alexnot", "--epochs", "1"], ["unknown model 'alexnot'"]),
        (["mlp:stem=small", "--epochs", "1"], ["unknown option of mlp 'stem'"]),
        (["mlp", "mlp", "--epochs", "1"], ["mlp is named twice"]),
        (["mlp"], ["--epochs 10 or --budget 10m"]),
        (["mlp", "--epochs", "1", "--budget", "10m"], ["--epochs 10 or --budget 10m"]),
        (["mlp", "--budget", "10"], ["'10' is not a duration", "90s"]),
        (["mlp", "--epochs", "0"], ["epochs=0"]),
        (["mlp", "--epochs", "1", "--seeds", "0"], ["seeds=0"]),
        (["mlp", "--epochs", "1", "--set", "epochs=2"], ["--set epochs=2", "--epochs or --budget"]),
        (["mlp", "--epochs", "1", "--set", "seed=2"], ["--seeds"]),
        (["mlp", "--epochs", "1", "--set", "momentum"], ["key=value"]),
        (["mlp", "--epochs", "1", "--augment", "flop"], ["unknown augmentation 'flop'"]),
        (["mlp", "--epochs", "1", "--data", "mnits"], ["Did you mean 'mnist'"]),
        (["mlp", "--epochs", "1", "--device", "tpu"], ["device 'tpu'"]),
        (["lenet5", "--epochs", "1", "--image-size", "40"], ["32×32"]),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(striate, tmp_path: Path, arguments: list[str], parts: list[str]):
    answer = striate("compare", *arguments, "--out", tmp_path / "out")
    assert_one_line(answer, 2, *parts)
    assert answer.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_model_that_does_not_fit_leaves_the_others_and_an_exit_code(striate, tmp_path: Path):
    answer = striate("compare", "lenet5", "mlp", *ONE, "--image-size", 40, "--out", tmp_path / "out")
    assert_one_line(answer, 1, "not all of it could be trained: lenet5")
    assert "lenet5 is left out" in answer.err
    assert answer.out.startswith("digits, test")
    assert "\nlenet5 failed: " in answer.out
    assert "lenet5 failed: " in (tmp_path / "out" / "comparison.html").read_text()


def test_where_nothing_can_be_trained_it_says_why(striate, tmp_path: Path):
    wild = ("--set", "learning_rate=1e30", "--set", "clip_norm=0", "--set", "warmup=0", "--set", "optimizer=sgd")
    answer = striate("compare", "mlp", *ONE, *wild, "--out", tmp_path / "out")
    assert_one_line(answer, 1, "no model could be trained: mlp, seed 0: ", "Try --set learning_rate")
    assert "\nmlp, seed 0 failed: " in answer.err
    assert answer.out == ""


@pytest.mark.slow
def test_a_budget_reaches_every_recipe(striate, tmp_path: Path):
    budget = ("--budget", "1s", "--seeds", 1, "--device", "cpu")
    answer = striate("compare", "mlp", "lenet5_modern", *budget, "--out", tmp_path / "out")
    assert answer.code == 0
    for model in ("mlp", "lenet5_modern"):
        folder = tmp_path / "out" / model / "seed-0"
        assert json.loads((folder / "run.json").read_text())["recipe"]["budget"] == 1
        assert json.loads((folder / "result.json").read_text())["train_seconds"] < 30


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_going_on_ends_it(striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arguments = ["compare", "mlp", "--epochs", "4", "--seeds", "1", "--device", "cpu"]
    folder = tmp_path / "runs" / "compare-digits-1"
    with subprocess.Popen(
        [sys.executable, "-m", "striate", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        while not (folder / "mlp" / "seed-0" / "metrics.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in told
    *_, again = told.strip().partition("stopped, all of it saved; continue with: striate ")
    assert again.split() == [*arguments, "--out", "runs/compare-digits-1"]
    monkeypatch.chdir(tmp_path)
    answer = striate(*again.split())
    assert answer.code == 0
    assert "continuing at step" in answer.err
    assert answer.out.startswith("digits, test: 359 images")


@pytest.mark.slow
def test_several_processes_train_and_measure_as_one_does(striate, several: Several, tmp_path: Path):
    asked = ["compare", "mlp", "lenet5_modern", "--epochs", "1", "--seeds", "1", "--device", "cpu"]
    two, one = ([*asked, "--out", str(tmp_path / name)] for name in ("two", "one"))
    several.values(2, "command", arguments=two)
    several.values(1, "command", arguments=[*one, "--set", "shards=4"])
    runs = sorted(file.relative_to(tmp_path / "two") for file in (tmp_path / "two").rglob("model.safetensors"))
    assert len(runs) == 2
    assert all((tmp_path / "two" / run).read_bytes() == (tmp_path / "one" / run).read_bytes() for run in runs)
    kept = [json.loads((tmp_path / name / "comparison.json").read_text()) for name in ("two", "one")]
    assert kept[0]["request"] == kept[1]["request"]
    for each in kept:
        for model in each["result"]["models"]:
            model.update(train_seconds=0, images_per_second=0, curve=[])
    assert kept[0]["result"] == kept[1]["result"]
    again = several.call(2, "command", arguments=two)
    assert [each.get("error") for each in again] == [None, None]
    assert_one_line(striate(*two), 2, "was begun with shards=4, not without shards")


@pytest.mark.slow
def test_of_several_processes_a_run_that_diverges_fails_alone(several: Several, tmp_path: Path):
    wild = ("--set", "learning_rate=1e30", "--set", "clip_norm=0", "--set", "warmup=0", "--set", "optimizer=sgd")
    asked = ["compare", "mlp", *map(str, ONE), "--seeds", "2", *wild, "--out", str(tmp_path / "out")]
    for each in several.call(2, "command", arguments=asked):
        assert each["error"].startswith("RunError: no model could be trained: mlp, seed 0: ")
        assert ", seed 1: " in each["error"]


def test_several_processes_that_do_not_divide_the_batches_are_refused_before_they_start(striate, tmp_path: Path):
    answer = striate("compare", "mlp", *ONE, "--processes", 3, "--out", tmp_path / "out")
    assert_one_line(answer, 2, "3 processes do not divide 4 shards")
    assert not (tmp_path / "out").exists()
