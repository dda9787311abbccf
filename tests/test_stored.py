"""Files written before the packages were rearranged (commit 6eea26b): runs, caches and shards are still read.

tests/stored/run is a run stopped at its fifth step of twelve, of a small module on 6×6 images; finished/ is where that
commit brought it. cache/ has an entry of its cache of decoded images, and train- and test-000000.tar.gz its shards.
"""

import gzip
import json
import shutil
from pathlib import Path

import PIL
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from striate.data import Dataset, load
from striate.data import cache as cached
from striate.data.cache import Cache, key_of
from striate.data.images import decode, jpeg
from striate.preprocess import Preprocess
from striate.runs import Run, resume

STORED = Path(__file__).parent / "stored"


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))


@pytest.fixture
def shards(tmp_path: Path) -> Dataset:
    for name in ("train-000000.tar", "test-000000.tar"):
        (tmp_path / "shards").mkdir(exist_ok=True)
        (tmp_path / "shards" / name).write_bytes(gzip.decompress((STORED / f"{name}.gz").read_bytes()))
    return load(tmp_path / "shards")


def test_shards_are_read(shards: Dataset) -> None:
    assert shards.classes == ("dark", "light")
    assert {name: split.images.shape for name, split in shards.splits()} == {
        "train": (16, 6, 6, 1),
        "test": (6, 6, 6, 1),
    }
    assert shards.fingerprint() == Run.open(STORED / "run").fingerprint


def test_a_run_is_read() -> None:
    run = Run.open(STORED / "run")
    assert run.classes == ("dark", "light")
    assert run.recipe.schedule == "linear", "which was called one-cycle"
    assert (run.recipe.epochs, run.recipe.batch_size) == (3, 4)
    assert run.result is None
    assert [epoch["epoch"] for epoch in run.history()] == [1]
    assert (run.recipe.calibration, run.calibrations()) == (0, {}), "it knew nothing of calibration"
    assert run.model(module())(torch.zeros(1, 1, 6, 6)).shape == (1, 2)


def test_a_run_is_continued_to_where_it_was_brought_then(tmp_path: Path, shards: Dataset) -> None:
    shutil.copytree(STORED / "run", tmp_path / "run")
    run = resume(tmp_path / "run", model=module(), data=shards, device="cpu")
    then, now = (load_file(folder / "model.safetensors") for folder in (STORED / "finished", tmp_path / "run"))
    assert now.keys() == then.keys()
    for name, tensor in then.items():
        assert torch.allclose(now[name].double(), tensor.double(), atol=1e-5), name
    stored = json.loads((STORED / "finished" / "result.json").read_text())
    assert run.result is not None
    assert {key: run.result[key] for key in ("steps", "accuracy", "n", "split")} == {
        key: stored[key] for key in ("steps", "accuracy", "n", "split")
    }


def test_a_cache_is_read(tmp_path: Path, shards: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads((STORED / "cache" / "stamps.json").read_text())
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(PIL, "__version__", made["pillow"])
    monkeypatch.setattr(cached.torch, "__version__", made["torch"])
    monkeypatch.setattr(jpeg, "VERSION", "1.9.0")
    monkeypatch.setattr(decode, "VERSION", 2)
    height, width, channels, fit = made["preprocess"]
    key = key_of("pixels", [tuple(stamp) for stamp in made["stamps"]], Preprocess(height, width, channels, fit))
    shutil.copytree(STORED / "cache" / key, tmp_path / "images" / key)
    cache = Cache()
    kept, pixels = cache.entry(key), cache.opened(key, (16, 6, 6, 1))
    assert kept is not None
    assert kept.stats is not None
    assert kept.stats.fingerprint == shards.fingerprint()
    assert pixels is not None
    assert torch.equal(pixels, shards.train.images)
