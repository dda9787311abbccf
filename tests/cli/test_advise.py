"""`striate advise`: models, runs, CI, and changes that are tried."""

import json
from pathlib import Path

import pytest
from small_run import Dropping, dataset, recipe

from striate.runs import Run, train


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train("lenet5", "digits", recipe(epochs=1), out=tmp_path_factory.mktemp("runs") / "digits")


def test_a_model(striate):
    answer = striate("advise", "lenet5", "--ignore", "slow-layer")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("lenet5, 1×28×28: 60,000 parameters, 328k multiply-adds an image")
    assert "1  flattened-head: c5" in answer.out
    assert "48,120 of 60,000 parameters (80 %)" in answer.out
    assert answer.err == ""


def test_strict_fails_where_there_are_findings(striate):
    assert striate("advise", "lenet5", "--rule", "flattened-head", "--strict").code == 1
    assert striate("advise", "lenet5", "--ignore", "flattened-head", "--ignore", "slow-layer", "--strict").code == 0


@pytest.mark.slow
def test_json_is_one_object(striate):
    answer = striate("advise", "resnet18:stem=imagenet", "--json", "--rule", "large-field", "--batch-size", "7")
    values = json.loads(answer.out)
    assert answer.out.count("\n") == 1
    assert [each["rule"] for each in values["findings"]] == ["large-field"]
    assert (values["batch_size"], values["trial"], values["passed"]) == (7, None, [])


@pytest.mark.slow
def test_a_run_is_looked_at_with_its_own_images(striate, run: Run):
    rules = ("--rule", "dead-units", "--rule", "saturated-activation")
    values = json.loads(striate("advise", run.path, "--json", *rules, "--images", "150").out)
    assert (values["images"], values["skipped"], values["batch_size"]) == (150, {}, 16)
    few = striate("advise", run.path, *rules, "--images", "20").out
    assert "because 20 images are too few" in few


def test_the_data_says_what_a_model_is_made_for(striate):
    values = json.loads(striate("advise", "fashion_cnn", "--data", "digits", "--json", "--rule", "small-field").out)
    assert values["input_shape"] == [1, 8, 8]


@pytest.mark.slow
def test_try_trains_the_change_and_says_whether_it_helped(striate, run: Run):
    options = ("--try", "--epochs", "1", "--seeds", "1", "--rule", "flattened-head", "--json")
    answer = striate("advise", run.path, *options)
    assert answer.code == 0, answer.err
    tried = json.loads(answer.out)["trial"]
    assert set(tried["verdicts"]) == {"1 flattened-head"}
    rows = {each["model"]: each for each in tried["comparison"]["models"]}
    assert rows["as it is"]["parameters"] - rows["1 flattened-head"]["parameters"] == 46080
    assert rows["as it is"]["multiply_adds"] - rows["1 flattened-head"]["multiply_adds"] == 46080
    assert "1 flattened-head, seed 0 (of 2 trainings)" in answer.err
    as_text = striate("advise", "fashion_cnn", "--data", "digits", "--try", "--rule", "large-kernel")
    assert "Nothing to try: no finding has an automatic change." in as_text.err
    assert as_text.code == 0


def test_bad_input_is_one_line(striate, run: Run, tmp_path: Path):
    custom = train(Dropping(), dataset(), recipe(epochs=1), out=tmp_path / "custom")
    for arguments, words in (
        (["lenet55"], "unknown model 'lenet55'. Did you mean 'lenet5'"),
        (["mlp"], "mlp has no convolutions to advise on; its layers are"),
        (["fashion_cnn", "--image-size", "4"], "needs images of at least 8×8"),
        (["lenet5", "--rule", "kernels"], "unknown rule 'kernels'"),
        (["lenet5", "--rule", "memory", "--ignore", "memory"], "leave no rule"),
        (["lenet5", "--try", "--rule", "flattened-head"], "--try trains networks: say on what, with --data"),
        (["lenet5", "--budget", "1m"], "--budget and --epochs are about training"),
        (["lenet5", "--try", "--budget", "1m", "--epochs", "2"], "both say how long"),
        (["lenet5", "--data", "digits", "--classes", "3"], "leave out --classes"),
        ([run.path, "--classes", "3"], "is a run and has its own classes"),
        ([run.path, "--data", "nowhere"], "unknown data set 'nowhere'"),
        ([custom.path], "was trained from a module of yours"),
    ):
        answer = striate("advise", *arguments)
        assert answer.code == 2, (arguments, answer.err)
        assert words in answer.err
        assert answer.err.strip().count("\n") == 0, answer.err
        assert "Traceback" not in answer.err
