"""The benchmarks run; what they measure depends on the machine and is not tested."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_augmentation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["augmentation.py", "--threads", "1", "--repeats", "1", "mlp"])
    runpy.run_path(str(BENCHMARKS / "augmentation.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    rates = next(line for line in lines if line.startswith("flip,shift,lighting ")).split()[1:]
    assert all(float(rate.replace(",", "")) > 0 for rate in rates)
    assert lines[-1].startswith("mlp, 64 × 28×28×1")
    assert lines[-1].endswith("%")


@pytest.mark.slow
def test_accelerator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--device", "cpu", "--seconds", "0", "--turns", "1", "--image-size", "32", "--no-accuracy"]
    monkeypatch.setattr(sys, "argv", ["accelerator.py", *few])
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent))
    space = runpy.run_path(str(BENCHMARKS / "accelerator.py"))
    # Without instructions for bfloat16, a step of the ResNet takes seconds: two images, and no untimed steps.
    small = [case._replace(batch=2, images=4) for case in space["cases"](32)]
    monkeypatch.setitem(space["rate"].__globals__, "UNTIMED", 0)
    monkeypatch.setitem(space["main"].__globals__, "cases", lambda side: small)
    space["main"]()
    rows = capsys.readouterr().out.splitlines()[4:]
    models = ["fashion_cnn", "resnet50", "quicknet_m"]
    assert [row.split("|")[1].strip() for row in rows if row] == models
    assert all(float(row.split("|")[4].replace(",", "")) > 0 for row in rows if row)
