"""`striate invariance`: a run, its blurred twin, and what can't be done."""

import json
from pathlib import Path

import pytest
from small_run import dataset, recipe

from striate.data import Dataset
from striate.runs import Run, train


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("lenet5_modern", "digits", recipe(epochs=1), out=tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="session")
def blurred(tmp_path_factory: pytest.TempPathFactory) -> Run:
    model = "lenet5_modern:antialias=rect-2"
    return train(model, "digits", recipe(epochs=1), out=tmp_path_factory.mktemp("runs") / "blurred")


@pytest.mark.slow
def test_a_run_and_the_same_with_a_blur(striate, run: Run):
    answer = striate("invariance", run.path, "--images", "30")
    assert answer.code == 0, answer.err
    assert "translation, crop" in answer.out
    assert "circular: the image shifted, with what leaves at one side coming in at the other" in answer.out
    assert "lenet5_modern with a blur, same weights" in answer.out.splitlines()[-1]
    assert (run.path / "invariance.html").exists()


@pytest.mark.slow
def test_json_is_one_object_with_every_network(striate, run: Run, blurred: Run, tmp_path: Path):
    out = tmp_path / "page.html"
    answer = striate(
        "invariance", blurred.path, "--against", run.path, "--images", "30", "--json", "--out", out, "--data", "digits"
    )
    assert answer.code == 0, answer.err
    assert answer.out.count("\n") == 1
    networks = json.loads(answer.out)["networks"]
    name = "lenet5_modern:antialias=rect-2"
    assert [each["model"] for each in networks] == [
        name,
        f"{name} without its blur, same weights",
        "lenet5_modern (digits)",
    ]
    assert {each["n"] for each in networks} == {30}
    again = json.loads(striate("invariance", run.path, "--images", "30", "--json", "--out", out).out)["networks"][0]
    assert again["curves"] == networks[2]["curves"], "the same images, moved alike"
    assert networks[0]["curves"] != networks[1]["curves"]
    assert out.exists()


@pytest.mark.slow
def test_a_network_without_strides_has_no_blurred_network(striate, tmp_path: Path):
    mlp = train("mlp", "digits", recipe(epochs=1), out=tmp_path / "mlp")
    answer = striate("invariance", mlp.path, "--images", "10", "--json", "--out", tmp_path / "page.html")
    assert answer.code == 0
    assert "Not compared with a blurred network: mlp has no strided pooling" in answer.err
    assert len(json.loads(answer.out)["networks"]) == 1


def test_bad_input_is_one_line(striate, run: Run, tmp_path: Path):
    shapes: Dataset = dataset()
    other = train("mlp", shapes, recipe(epochs=1), out=tmp_path / "shapes")
    for arguments, words in (
        ([tmp_path], "is no run"),
        ([run.path, "--images", "1"], "--images 1: invariance is measured on 2 or more"),
        ([run.path, "--against", other.path], "has other classes than"),
        ([run.path, "--data", "digit"], "unknown data set 'digit'"),
        ([run.path, "--images", "10", "--out", tmp_path], "is a folder: name the file to write"),
        ([run.path, "--device", "tpu"], "device 'tpu'"),
    ):
        answer = striate("invariance", *arguments)
        assert answer.code == 2, words
        assert words in answer.err
        assert answer.err.strip().count("\n") == 0, answer.err
        assert "Traceback" not in answer.err
