"""`striate train` as a person calls it: what it prints, what it leaves, and every mistake in one line."""

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import striate as in_process
from PIL import Image

from striate import models
from striate.files import sha256

QUICK = ("mlp", "--epochs", 1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of colour pictures of mixed sizes."""
    folder = tmp_path_factory.mktemp("data") / "pictures"
    random = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            size = (16 + number, 20, 3)
            pixels = random.integers(level - 30, level + 30, size).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def assert_one_line(answer, code: int, *parts: str) -> None:
    assert answer.code == code
    assert answer.out == ""
    last = answer.err.strip().splitlines()[-1]
    assert last.startswith("striate: ")
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in last


def test_it_trains_and_says_what_is_next(striate, tmp_path: Path):
    answer = striate("train", *QUICK, "--out", tmp_path / "run")
    assert answer.code == 0
    assert answer.out.startswith("mlp on digits: test accuracy ")
    assert f"striate report {tmp_path / 'run'}" in answer.err
    assert "epoch 1/1  loss " in answer.err
    assert "images/s  waiting " in answer.err


def test_json_is_one_object_on_standard_output(striate, tmp_path: Path):
    answer = striate("train", *QUICK, "--out", tmp_path / "run", "--json")
    result = json.loads(answer.out)
    assert answer.out.count("\n") == 1
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result == {key: value for key, value in kept.items() if key != "checksum"}
    assert 0 <= result["accuracy"] <= 1
    assert result["top1_error"] == pytest.approx(1 - result["accuracy"])


def test_options_and_settings_reach_the_recipe(striate, tmp_path: Path):
    options = ("--batch-size", 50, "--seed", 3, "--augment", "shift=0.1", "--set", "learning_rate=0.01")
    assert striate("train", *QUICK, *options, "--set", "optimizer=adamw", "--out", tmp_path / "run").code == 0
    recipe = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    wanted = {"epochs": 1, "batch_size": 50, "seed": 3, "learning_rate": 0.01, "optimizer": "adamw"}
    assert {key: recipe[key] for key in wanted} == wanted
    assert recipe["augment"] == "shift=0.1"


def test_digits_are_never_mirrored_by_default(striate, tmp_path: Path):
    assert striate("train", *QUICK, "--out", tmp_path / "run").code == 0
    assert "flip" not in json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["augment"]


def test_a_folder_of_mixed_sizes_trains(striate, pictures: Path, tmp_path: Path):
    answer = striate(
        "train", *QUICK, "--data", pictures, "--image-size", 16, "--fit", "crop", "--out", tmp_path / "run"
    )
    assert answer.code == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["classes"] == ["dark", "light"]
    assert run["preprocess"]["fit"] == "crop"
    assert run["preprocess"]["channels"] == 3
    assert (tmp_path / "run" / "split.csv").read_text().count("\n") == 13


def test_a_folder_alone_gets_the_network_for_little_time(striate, pictures: Path, tmp_path: Path):
    answer = striate("train", "--data", pictures, "--epochs", 1, "--out", tmp_path / "run")
    assert answer.code == 0
    values = json.loads((tmp_path / "run" / "run.json").read_text())
    assert values["model"]["name"] == "quicknet_m"
    assert (values["recipe"]["name"], values["recipe"]["tta"]) == ("fast", "flip,shifts")
    assert "averaged over views (flip,shifts)" in answer.out


@pytest.mark.slow
def test_bad_files_stop_it_and_are_left_out_on_request(striate, pictures: Path, tmp_path: Path):
    folder = tmp_path / "pictures"
    for source in pictures.rglob("*.png"):
        target = folder / source.relative_to(pictures)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    whole = (folder / "dark" / "0.png").read_bytes()
    (folder / "dark" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "light" / "empty.jpg").write_bytes(b"")
    answer = striate("train", *QUICK, "--data", folder, "--out", tmp_path / "run")
    assert answer.code == 2
    assert "cut.png" in answer.err
    assert "empty.jpg" in answer.err
    assert "--skip-bad" in answer.err
    assert not (tmp_path / "run").exists()
    answer = striate("train", *QUICK, "--data", folder, "--skip-bad", "--out", tmp_path / "run")
    assert answer.code == 0
    assert "2" in next(line for line in answer.err.splitlines() if "left out" in line)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["alexnot"], ["unknown model 'alexnot'", "lenet5"]),
        (["lenet"], ["Did you mean 'lenet5'"]),
        (["--recipe", "old"], ["unknown recipe 'old'", "modern, paper"]),
        (["lenet5_modern", "--recipe", "paper"], ["no paper recipe for lenet5_modern"]),
        (["--data", "mnits"], ["unknown data set 'mnits'", "Did you mean 'mnist'"]),
        (["--data", "/no/such/folder"], ["/no/such/folder"]),
        (["--set", "epoch=3"], ["unknown recipe setting 'epoch'", "Did you mean 'epochs'"]),
        (["--set", "momentum=2"], ["momentum='2'"]),
        (["--set", "momentum"], ["key=value"]),
        (["--epochs", "0"], ["epochs=0"]),
        (["--augment", "flop"], ["unknown augmentation 'flop'", "flip"]),
        (["--augment", "shift=7"], ["shift takes 0 to 1"]),
        (["--fit", "squash"], ["squash", "letterbox"]),
        (["--image-size", "0"], ["at least 1 pixel"]),
        (["--image-size", "64"], ["32×32", "--image-size"]),
        (["fashion_cnn", "--image-size", "4"], ["8×8"]),
        (["--device", "tpu"], ["device 'tpu'", "auto, cpu, cuda"]),
        (["--resume", "/no/such/run"], ["/no/such/run is no run"]),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(striate, tmp_path: Path, arguments: list[str], parts: list[str]):
    out = [] if "--resume" in arguments else ["--out", tmp_path / "run"]
    assert_one_line(striate("train", *arguments, *out), 2, *parts)
    assert not (tmp_path / "run").exists()


def test_a_taken_folder_is_named(striate, tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert_one_line(striate("train", *QUICK, "--out", tmp_path / "run"), 2, "is taken", "--out")
    (tmp_path / "run" / "run.json").write_text("{}")
    assert_one_line(striate("train", *QUICK, "--out", tmp_path / "run"), 2, "is taken", "--out", "--resume")


def test_truncated_and_altered_data_files_are_named(striate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    header = b"\0\0\x08\x03" + b"".join(side.to_bytes(4, "big") for side in (1, 10, 10))
    whole = gzip.compress(header + bytes(100))
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte.gz").write_bytes(whole)
    assert_one_line(striate("train", *QUICK, "--data", "mnist"), 2, "train-images-idx3-ubyte.gz", "SHA-256")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(whole[:-10])
    assert_one_line(striate("train", *QUICK, "--data", "mnist"), 2, "train-images-idx3-ubyte.gz", "truncated")


def test_a_loss_that_runs_away_fails_the_run_with_advice(striate, tmp_path: Path):
    settings = ("--set", "learning_rate=1e30", "--set", "clip_norm=0", "--set", "warmup=0")
    answer = striate("train", *QUICK, *settings, "--out", tmp_path / "run")
    assert_one_line(answer, 1, "step", "learning rate", "Try --set learning_rate")


@pytest.mark.slow
def test_resume_of_a_finished_run_repeats_its_result(striate, tmp_path: Path):
    first = striate("train", *QUICK, "--out", tmp_path / "run")
    again = striate("train", "--resume", tmp_path / "run")
    assert (again.code, again.out) == (0, first.out)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "striate", *map(str, arguments)]


@pytest.mark.parametrize("extra", [["mlp"], ["--epochs", 3], ["--data", "mnist"], ["--out", "elsewhere"]])
def test_resume_refuses_what_it_would_have_to_ignore(striate, tmp_path: Path, extra: list[object]):
    striate("train", *QUICK, "--out", tmp_path / "run")
    assert_one_line(striate("train", *extra, "--resume", tmp_path / "run"), 2, "--resume", "its own settings")


@pytest.mark.slow
def test_a_run_on_a_folder_can_be_used_from_anywhere(striate, pictures: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    assert striate("train", *QUICK, "--data", "pictures", "--out", tmp_path / "run").code == 0
    monkeypatch.chdir(tmp_path)
    assert striate("evaluate", "run").code == 0


@pytest.mark.slow
def test_a_file_name_that_is_not_text_trains(striate, pictures: Path, tmp_path: Path):
    folder = tmp_path / "pictures"
    for source in pictures.rglob("*.png"):
        target = folder / source.relative_to(pictures)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    odd = os.fsencode(folder / "dark") + b"/\xff\xe9.png"
    with open(odd, "wb") as file:
        file.write((folder / "dark" / "0.png").read_bytes())
    assert striate("train", *QUICK, "--data", folder, "--out", tmp_path / "run").code == 0
    assert b"\xff\xe9.png,dark," in (tmp_path / "run" / "split.csv").read_bytes()


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_ends_with_the_same_bytes(striate, tmp_path: Path):
    arguments = ("train", "mlp", "--epochs", 5)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with subprocess.Popen(command(*arguments, "--out", broken), stderr=subprocess.PIPE, text=True) as process:
        while not (broken / "metrics.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert f"striate train --resume {broken}" in told
    assert "Traceback" not in told
    assert striate("train", "--resume", broken).code == 0
    assert striate(*arguments, "--out", whole).code == 0
    assert sha256((broken / "model.safetensors").read_bytes()) == sha256((whole / "model.safetensors").read_bytes())


@pytest.mark.slow
def test_a_terminal_gets_a_live_display(tmp_path: Path):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("train", *QUICK, "--out", tmp_path / "run"), stderr=theirs, stdout=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how a pseudo-terminal ends
                break
            if not chunk:
                break
            seen += chunk
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in seen
    assert b"images/s" in seen


@pytest.mark.slow
def test_a_budget_is_time_in_words(monkeypatch, capsys, tmp_path):
    assert in_process(monkeypatch, "train", "mlp", "--budget", "1s", "--out", tmp_path / "run", "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "fit into 1 s" in captured.err
    assert int(result["steps"].split(",")[0]) > 1
    for arguments, match in (
        (("--budget", "10"), "not a duration"),
        (("--budget", "9s", "--epochs", 2), "--epochs and"),
    ):
        assert in_process(monkeypatch, "train", "mlp", *arguments, "--out", tmp_path / "no") == 2
        assert match in capsys.readouterr().err


@pytest.mark.slow
def test_published_weights_are_adapted_and_frozen(monkeypatch, capsys, tmp_path):
    torch.save(models.create("resnet18:stem=imagenet", 1000, 3, 32, seed=0).state_dict(), tmp_path / "w.pth")
    settings = ("--epochs", 1, "--image-size", 17, "--out", tmp_path / "run", "--set", "batch_size=512")
    assert (
        in_process(monkeypatch, "train", "resnet18", "--weights", tmp_path / "w.pth", "--freeze-backbone", *settings)
        == 0
    )
    told = capsys.readouterr().err
    assert "recipe fine-tune" in told
    assert "takes grey images" in told
    assert "fc, has fresh weights" in told
    assert in_process(monkeypatch, "train", "resnet18", "--freeze-backbone", "--out", tmp_path / "no") == 2
    assert "name them with --weights" in capsys.readouterr().err
    assert (
        in_process(monkeypatch, "train", "resnet18", "--weights", tmp_path / "none.pth", "--out", tmp_path / "no") == 2
    )
    assert "none.pth" in capsys.readouterr().err


@pytest.mark.slow
def test_the_size_of_the_cache_is_read_before_anything_is_loaded(striate, pictures: Path, tmp_path: Path):
    assert_one_line(striate("train", "--data", pictures, "--cache-size", "8 bananas"), 2, "8 bananas", "8GB")
    assert_one_line(striate("train", "--resume", tmp_path, "--cache-size", "0"), 2, "leave out cache_size")
    answer = striate("train", *QUICK, "--data", pictures, "--cache-size", "0", "--out", tmp_path / "run")
    assert answer.code == 0


def test_a_run_that_says_nothing_of_views_is_told_of_too(striate, tmp_path: Path):
    first = striate("train", *QUICK, "--out", tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "tta"}
    path.write_text(json.dumps(old))
    again = striate("train", "--resume", tmp_path / "run")
    assert (again.code, again.out) == (0, first.out)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of colour pictures that are large enough for pretrained weights: stripes across and along."""
    folder = tmp_path_factory.mktemp("data") / "photographs"
    random = np.random.default_rng(0)
    for name in ("across", "along"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            stripes = (np.arange(96) // 12 % 2 * 150)[:, None, None] + np.zeros((96, 96, 3))
            pixels = stripes if name == "across" else stripes.transpose(1, 0, 2)
            pixels = (pixels + random.integers(0, 100, (96, 96, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.slow
def test_photographs_begin_from_pretrained_weights_by_default(striate, photographs: Path, tmp_path: Path):
    answer = striate("train", "--data", photographs, "--image-size", 96, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("efficientnet_lite0 on ")
    assert "efficientnet_lite0 with ImageNet weights; 'striate train quicknet_m --recipe fast" in answer.err
    assert "cross-validated" in answer.err
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (kept["weights"], kept["recipe"]["name"], kept["preprocess"]["width"]) == ("imagenet", "transfer", 96)
    again = striate("train", "--data", photographs, "--recipe", "transfer", "--image-size", 96, "--out", tmp_path / "b")
    assert sha256((tmp_path / "run" / "model.safetensors").read_bytes()) == sha256(
        (tmp_path / "b" / "model.safetensors").read_bytes()
    ), again.err


@pytest.mark.slow
def test_small_pictures_are_trained_from_nothing_by_default(striate, pictures: Path, tmp_path: Path):
    answer = striate("train", "--data", pictures, "--epochs", 1, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    assert "quicknet_m from nothing; 'striate train efficientnet_lite0 --weights imagenet" in answer.err


def test_transfer_without_weights_to_be_had_is_one_line(striate, photographs: Path, tmp_path: Path):
    answer = striate("train", "vgg16", "--data", photographs, "--recipe", "transfer", "--out", tmp_path / "run")
    assert_one_line(answer, 2, "ImageNet weights of vgg16 are not on this machine", "vgg16-397923af.pth")
