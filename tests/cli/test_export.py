"""`striate export`, and the file in place of a run: `predict` without PyTorch, `evaluate`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import WITHOUT_TORCH
from PIL import Image
from trained import digits_run

from striate.runs import Run

__all__ = ["digits_run"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as a file. Read it only."""
    path = tmp_path_factory.mktemp("files") / "digits.onnx"
    command = [
        sys.executable,
        "-m",
        "striate",
        "export",
        str(digits_run.path),
        "--to",
        "onnx",
        "--out",
        str(path),
        "--json",
    ]
    told = subprocess.run(command, capture_output=True, check=True, text=True)
    assert told.stderr == ""
    values = json.loads(told.stdout)
    assert {
        *("format", "bytes", "opset", "accuracy", "accuracy_run", "agreement", "max_difference", "n"),
        *("latency_ms", "throughput"),
    } <= values.keys()
    assert values["accuracy"] == (digits_run.result or {})["accuracy"]
    assert values["agreement"] == 1
    return path


def test_predict_needs_no_pytorch(file: Path, digits_run: Run, striate: Callable[..., Any], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    paths = [str(tmp_path / name) for name in ("a.png", "b.jpg")]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", str(file), *paths, "--json"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    found = json.loads(told.stdout)["predictions"]
    expected = json.loads(striate("predict", digits_run.path, *paths, "--json").out)["predictions"]
    for one, other in zip(found, expected, strict=True):
        assert (one["path"], one["class"], one["calibrated"]) == (other["path"], other["class"], other["calibrated"])
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=0.02)
    Path(paths[0]).write_bytes(b"no image")
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2
    assert paths[0] in told.stderr
    assert told.stdout == ""


def test_evaluate_takes_the_file_and_says_what_is_missing(
    file: Path, digits_run: Run, striate: Callable[..., Any]
) -> None:
    found = json.loads(striate("evaluate", file, "--data", "digits", "--json").out)
    expected = json.loads(striate("evaluate", digits_run.path, "--json").out)
    assert found["confusion"] == expected["confusion"]
    assert found["calibration"]["temperature"] == expected["calibration"]["temperature"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    answer = striate("evaluate", file)
    assert answer.code == 2
    assert "has no data of its own" in answer.err


@pytest.mark.parametrize(
    ("arguments", "absent", "said"),
    [
        (("export", "{run}"), "onnxscript", "exporting to onnx needs onnxscript: pip install 'striate[onnx]'"),
        (
            ("predict", "{file}", "a.png"),
            "onnxruntime",
            "ONNX files need ONNX Runtime: pip install 'striate[onnx]'",
        ),
        (("export", "{run}", "--to", "tflite"), "", "unknown format 'tflite'. Known: hf, onnx, openvino, web."),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[str, ...],
    absent: str,
    said: str,
    file: Path,
    digits_run: Run,
    striate: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if absent:
        monkeypatch.setitem(sys.modules, absent, None)
    answer = striate(*(each.format(run=digits_run.path, file=file) for each in arguments))
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
