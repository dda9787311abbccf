"""Features are computed once, and once more where what was kept is damaged."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_run import dataset

from striate.files import cache_folder
from striate.models import create
from striate.preprocess import Preprocess
from striate.runs import feature_cache
from striate.runs.feature_cache import cached_features

CPU = torch.device("cpu")


@pytest.fixture
def computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were computed, a number a time."""
    counts, plain = [], feature_cache.features_of

    def counted(module, images, *rest):
        counts.append(len(images))
        return plain(module, images, *rest)

    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_cache, "features_of", counted)
    return counts


def test_what_is_kept_is_what_was_computed_and_damage_is_noticed(computed: list[int]) -> None:
    model, data, preprocess = create("mlp", 3, 1, 8, seed=0).eval(), dataset(40), Preprocess(8, 8, 1)

    def features() -> list[torch.Tensor]:
        return cached_features(model, data, preprocess, CPU)

    first = features()
    again = features()
    assert len(computed) == 1
    (path,) = cache_folder().rglob("*.safetensors")
    kept = safetensors.torch.load_file(path)
    kept["0"][3, 2] += 1
    safetensors.torch.save_file(kept, path)
    mended = features()
    assert len(computed) == 2
    path.write_bytes(path.read_bytes()[:100])
    features()
    assert len(computed) == 3
    for views in (again, mended):
        assert all(torch.equal(one, other) for one, other in zip(first, views, strict=True))
