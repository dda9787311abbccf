"""Engines give the network's logits, and the fastest is measured once and kept."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import ArgumentError
from striate.inference import engines, fastest
from striate.inference.engines import ENGINES, engine_of
from striate.inference.fastest import FEW, FastestEngine, fastest_engine
from striate.runs import Trained

pytestmark = pytest.mark.slow

PREPROCESS = striate.Preprocess(12, 10, 1, mean=(0.4,), std=(0.2,))
CLASSES = ("ant", "bee", "cat")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        ).eval()


@pytest.fixture(scope="module")
def expected(module: nn.Module) -> np.ndarray:
    with torch.inference_mode():
        return module(PREPROCESS.normalize(torch.from_numpy(PIXELS))).numpy()


@pytest.mark.parametrize("name", ENGINES)
def test_the_logits_are_the_networks(module: nn.Module, expected: np.ndarray, name: str) -> None:
    engine = engine_of(name, module, PREPROCESS, CLASSES)
    assert (engine.name, engine.precision) == (name, "float32")
    for pixels in (PIXELS, PIXELS[:1], np.repeat(PIXELS, 20, axis=0)):
        wanted = expected if len(pixels) == 5 else expected[:1] if len(pixels) == 1 else np.repeat(expected, 20, axis=0)
        np.testing.assert_allclose(engine.logits(pixels), wanted, atol=1e-5)


def test_a_network_is_computed_by_any_of_them(module: nn.Module, tmp_path: Path) -> None:
    answers = [
        striate.predict(module, PIXELS, preprocess=PREPROCESS, classes=CLASSES, engine=engine, layout="NHWC")
        for engine in ("auto", *ENGINES)
    ]
    for other in answers[1:]:
        for mine, its in zip(answers[0], other, strict=True):
            assert mine.label == its.label
            assert mine.probability == pytest.approx(its.probability, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "tensorrt"}, "unknown engine 'tensorrt'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"engine": "onnxruntime", "precision": "bfloat16"}, "ONNX Runtime computes in float32"),
    ],
)
def test_what_there_is_not_is_said(module: nn.Module, options: dict[str, str], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        striate.predict(module, PIXELS, preprocess=PREPROCESS, classes=CLASSES, layout="NHWC", **options)


def test_an_engine_that_is_not_installed_is_told(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "openvino" else object())
    with pytest.raises(ArgumentError, match=r"needs the package openvino: pip install 'striate\[openvino\]'"):
        engine_of("openvino", module, PREPROCESS, CLASSES)
    assert engines.installed() == ("torch", "onnxruntime")


def test_the_fastest_is_kept_and_taken_again(
    module: nn.Module, expected: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(fastest, "SECONDS", 0.01)
    first = fastest_engine(module, PREPROCESS, CLASSES)
    np.testing.assert_allclose(first.logits(PIXELS), expected, atol=1e-5)
    (kept,) = (tmp_path / "engines").iterdir()
    times = json.loads(kept.read_text())["milliseconds"]
    assert set(times) == set(ENGINES)
    assert first.one.name == min(times, key=lambda name: times[name][0])
    assert first.many.name == min(times, key=lambda name: times[name][1])
    monkeypatch.setattr(fastest, "_seconds", lambda *_: pytest.fail("measured again"))
    again = Trained.of(module, preprocess=PREPROCESS, classes=CLASSES).engine()
    assert isinstance(again, FastestEngine)
    assert (again.one.name, again.many.name) == (first.one.name, first.many.name)


class Named:
    """An engine of fixed logits."""

    precision = "float32"

    def __init__(self, name: str):
        self.name = name
        self.asked: list[int] = []

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        self.asked.append(len(pixels))
        return np.zeros((len(pixels), 2), np.float32)


def test_single_images_and_batches_may_have_engines_of_their_own() -> None:
    one, many = Named("a"), Named("b")
    both = FastestEngine(one, many)
    for n in (1, FEW - 1, FEW, 64):
        both.logits(np.zeros((n, 2, 2, 1), np.uint8))
    assert (one.asked, many.asked, both.name) == ([1, FEW - 1], [FEW, 64], "a and b")
    assert FastestEngine(one, one).name == "a"


def test_a_damaged_choice_is_measured_again(module: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(fastest, "SECONDS", 0.01)
    fastest_engine(module, PREPROCESS, CLASSES)
    (kept,) = (tmp_path / "engines").iterdir()
    for damage in ("{", "[]", kept.read_text().replace('"one": "', '"one": "x')):
        kept.write_text(damage)
        fastest_engine(module, PREPROCESS, CLASSES)
        assert json.loads(kept.read_text())["one"] in ENGINES


FREED_ELSEWHERE = """
import os, signal, threading
import numpy as np
from striate.inference.onnx_preprocessing import preprocessing
from striate.inference.runtimes import openvino_core
from striate.preprocess import Preprocess

held = [openvino_core("here")]
content = preprocessing(Preprocess(8, 8, 1), "image").SerializeToString()
held.append(held[0].compile_model(held[0].read_model(content), "CPU"))
held[1]({"image": np.zeros((1, 8, 8, 1), np.uint8)})
freeing = threading.Thread(target=held.clear)
freeing.start()
freeing.join()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_signals_are_heard_after_openvino_was_used_in_another_thread():
    done = subprocess.run([sys.executable, "-c", FREED_ELSEWHERE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
