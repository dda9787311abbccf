"""A run is the same run whether its images are in memory, in the cache, or decoded when they are asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import LazyImages, build, load, reader
from striate.data.images.decoder_pool import Decoders
from striate.evaluation import evaluate
from striate.reports import report
from striate.runs import Run, resume, train
from striate.training import Recipe


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Sixty JPEGs of two kinds, and one that is cut off."""
    random = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "set" / ("dark", "light")[number % 2] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 140, (50, 70, 3)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    path.with_name("cut.jpg").write_bytes(path.read_bytes()[:-400])
    return tmp_path / "set"


@pytest.mark.slow
def test_weights_and_results_are_the_same(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "Decoders", lambda *words, processes: Decoders(*words, processes=False))
    runs, evaluations = [], []

    def add(out: str, cache_size: int | None) -> type:
        data = load(photographs, image_size=16, skip_bad=True, cache_size=cache_size)
        recipe = Recipe(epochs=2, batch_size=16, augment="flip,shift=0.1")
        runs.append(train("mlp", data, recipe, out=tmp_path / out))
        evaluations.append(evaluate(runs[-1], data))
        return type(data.train.images)

    assert add("memory", 0) is torch.Tensor
    monkeypatch.setattr(build, "_FEW_FILES", 1)
    assert add("cached", None) is torch.Tensor
    assert add("cached-again", None) is torch.Tensor
    monkeypatch.setattr(reader, "IN_MEMORY", 0)
    assert add("lazy", 0) is LazyImages
    assert len({run.fingerprint for run in runs}) == 1
    assert len({run.preprocess for run in runs}) == 1
    assert len({run.result["sha256"] for run in runs}) == 1  # type: ignore[index]
    assert all(evaluation == evaluations[0] for evaluation in evaluations)

    assert evaluate(runs[0]) == evaluations[0]  # its own data, this time from the cache
    elsewhere = evaluate(runs[0], load(photographs, image_size=20, skip_bad=True, cache_size=0))
    assert elsewhere.n == evaluations[0].n
    assert report(runs[3], data=load(photographs, image_size=16, skip_bad=True, cache_size=0)).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["its source", "a folder"])
def test_a_run_over_lazy_images_is_resumed(
    named: bool, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "IN_MEMORY", 0)
    monkeypatch.setenv("STRIATE_CACHE_SIZE", "0")
    data = load(photographs, image_size=16, skip_bad=True)
    assert isinstance(data.train.images, LazyImages)
    recipe = Recipe(epochs=2, batch_size=16)
    whole = train("mlp", data, recipe, out=tmp_path / "whole")

    class StopError(Exception):
        pass

    def stop(event: object) -> None:
        if getattr(event, "step", 0) == 4:
            raise StopError

    with pytest.raises(StopError):
        train("mlp", data, recipe, out=tmp_path / "stopped", observer=stop)
    resumed = resume(tmp_path / "stopped", data=photographs if named else None)
    assert resumed.result is not None
    assert Run.open(whole.path).result["sha256"] == resumed.result["sha256"]  # type: ignore[index]
