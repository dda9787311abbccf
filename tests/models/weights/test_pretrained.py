"""Published weights: the table, the places where files are looked for, and what is said where there are none."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch

import striate
from striate import models
from striate.errors import CheckpointError
from striate.models import creation
from striate.models.weights import pretrained
from striate.models.weights.imagenet import class_names
from striate.models.weights.pretrained import (
    HALF,
    TABLE,
    Pretrained,
    described,
    feature_input,
    located,
    on_this_machine,
)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Weights of the smallest network that the table could hold: resnet20 for 1,000 classes."""
    return striate.create("resnet20", 1000, 3, 32, seed=5).state_dict()


@pytest.fixture
def file(weights, tmp_path: Path) -> Path:
    """A file of weights under the name that its SHA-256 asks for."""
    path = tmp_path / "written.pth"
    torch.save(weights, path)
    return path.rename(tmp_path / f"resnet20-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth")


@pytest.fixture
def row(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    """The file's row in the table, on a machine whose caches are empty and whose network is down."""
    row = Pretrained(
        "resnet20", file.name, 12.5, 34.0, "http://127.0.0.1:9/", "resnet20_model", "owner/resnet20.in1k", size=40,
        crop=0.8, interpolation="bicubic", normalization=HALF,
    )  # fmt: skip
    monkeypatch.setattr(pretrained, "TABLE", (row,))
    for variable, folder in (("TORCH_HOME", "torch"), ("HF_HUB_CACHE", "hf"), ("STRIATE_CACHE", "cache")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    return row


def moved(file: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    return file.rename(folder / file.name)


def test_every_row_is_of_a_model_and_says_its_digest_and_its_input():
    for row in TABLE:
        assert row.model in models.names()
        assert len(row.digest) == 8
        assert set(row.digest) <= set("0123456789abcdef")
        assert 50 < row.top1 < row.top5 < 100
        assert row.address.startswith("https://") or row.package, "each can be had somehow"
        assert row.preprocess.crop <= 1
    assert len({row.file for row in TABLE}) == len(TABLE)


def test_every_row_fits_its_model():
    for row in TABLE:
        facts = models.facts(row.model)
        assert facts.normalization is not None, row.model
        for ours, theirs in zip(facts.normalization, row.normalization, strict=True):
            assert ours == pytest.approx(theirs, abs=0.005), row.model


def test_the_folder_of_torch_hub_is_looked_into(row: Pretrained, file: Path, tmp_path: Path):
    path = moved(file, tmp_path / "torch" / "hub" / "checkpoints")
    assert located("resnet20") == on_this_machine("resnet20") == (row, path)


def test_a_package_that_is_installed_comes_first(row, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    moved(file, tmp_path / "torch" / "hub" / "checkpoints")
    package = tmp_path / "site" / "resnet20_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('looked for, never imported')\n")
    held = package / "models" / file.name
    held.write_bytes((tmp_path / "torch" / "hub" / "checkpoints" / file.name).read_bytes())
    monkeypatch.syspath_prepend(str(package.parent))
    assert located("resnet20") == (row, held)
    held.write_bytes(held.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match=r"resnet20_model.*is not the published file"):
        located("resnet20")


def test_hugging_faces_cache_is_read_and_its_digest_checked(row, weights, tmp_path: Path):
    repository = tmp_path / "hf" / "models--owner--resnet20.in1k"
    content = safetensors.torch.save(weights)
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    snapshot = repository / "snapshots" / "abc"
    for folder in (blob.parent, snapshot):
        folder.mkdir(parents=True)
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    assert located("resnet20") == (row, snapshot / "model.safetensors")
    blob.write_bytes(content[:-1] + b"x")
    with pytest.raises(CheckpointError, match="is not the published file"):
        located("resnet20")


def test_without_any_of_them_one_line_names_all_ways(row: Pretrained, tmp_path: Path):
    with pytest.raises(CheckpointError) as caught:
        located("resnet20")
    message = str(caught.value)
    assert "\n" not in message
    for way in ("pip install resnet20-model", "connect to the network", row.file, "owner/resnet20.in1k"):
        assert way in message
    assert on_this_machine("resnet20") is None


def test_models_without_published_weights_say_which_have_some(row):
    with pytest.raises(CheckpointError, match=r"no published weights of mlp are known.*resnet20"):
        located("mlp")


@pytest.fixture
def address(file: Path):
    """A server that has the file's folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(file.parent))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def served(row: Pretrained, address: str, monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    row = Pretrained(row.model, row.file, row.top1, row.top5, address, size=40)
    monkeypatch.setattr(pretrained, "TABLE", (row,))
    return row


def test_what_is_not_here_is_downloaded_once(row, address: str, file: Path, tmp_path: Path, monkeypatch):
    row, told = served(row, address, monkeypatch), []
    found = located("resnet20", lambda *each: told.append(each))
    assert found == (row, tmp_path / "cache" / "weights" / row.file)
    assert told[-1] == (f"downloading {row.file}", file.stat().st_size, file.stat().st_size)
    file.unlink()
    assert located("resnet20") == found, "from the cache now"


def test_a_download_of_something_else_is_refused_and_not_kept(row, address, file: Path, tmp_path: Path, monkeypatch):
    served(row, address, monkeypatch)
    file.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="not the expected one"):
        located("resnet20")
    assert not list((tmp_path / "cache" / "weights").iterdir())


def test_create_makes_a_network_that_is_ready_to_predict(row: Pretrained, weights, file: Path, tmp_path: Path):
    moved(file, tmp_path / "torch" / "hub" / "checkpoints")
    made = striate.create("resnet20", weights="imagenet")
    assert all(torch.equal(value, weights[name]) for name, value in made.state_dict().items())
    assert made.preprocess == row.preprocess
    assert made.classes == class_names()
    assert row.file in made.notes[0]
    (prediction,) = striate.predict(made, torch.zeros(50, 60, 3, dtype=torch.uint8))
    assert prediction.label in class_names()


def test_for_other_classes_the_network_says_nothing_of_imagenets(row: Pretrained, file: Path, tmp_path: Path):
    moved(file, tmp_path / "torch" / "hub" / "checkpoints")
    made = striate.create("resnet20", 4, 1, weights="imagenet", adapt=True)
    assert not hasattr(made, "classes")
    assert made.architecture.image_size == (40, 40)
    assert made.normalization == ((0.5,), (0.5,))
    assert creation.trained_input("resnet20", "imagenet") == row.preprocess


def test_a_published_file_is_known_by_its_digest_wherever_it_lies(row: Pretrained, file: Path):
    assert described(file) == row
    assert creation.trained_input("resnet20", file) == row.preprocess
    file.write_bytes(file.read_bytes() + b"\0")
    assert described(file) is None


def test_features_are_best_for_larger_images_of_which_nothing_is_cut():
    (wheel, *_), resnet = pretrained.rows("efficientnet_lite0"), pretrained.rows("resnet18")[0]
    found = feature_input(wheel.preprocess)
    assert (found.height, found.width, found.crop, found.interpolation) == (288, 288, 1.0, "bicubic")
    assert found.mean == wheel.preprocess.mean
    assert feature_input(resnet.preprocess).height == 288
    assert feature_input(found) == found, "a run's own input stays"
