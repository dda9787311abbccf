"""What workers share, and those whose libraries are here: on a few images of noise."""

import gzip
import io
import math
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from benchmarks.workers import pytorch_folder, pytorch_peer, serving, sklearn_peer, striate_peer
from benchmarks.workers.pytorch_program import program
from striate.inference import predictor

NETWORK, PARAMETERS = "lenet5_modern", 61_706


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four IDX files, the first of them gzipped: 96 images to train on and 40 to test on."""
    folder, random, paths = tmp_path_factory.mktemp("idx"), np.random.default_rng(0), []
    for name, count in (("train", 96), ("test", 40)):
        for kind, shape in (("images", (count, 28, 28)), ("labels", (count,))):
            array = random.integers(0, 256 if kind == "images" else 10, shape, dtype=np.uint8)
            header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            path = folder / f"{name}-{kind}"
            path.write_bytes(gzip.compress(header + array.tobytes()) if not paths else header + array.tobytes())
            paths.append(str(path))
    return paths


def test_images_are_read_raw_and_gzipped(files: list[str]) -> None:
    data = serving.images(files)
    assert data.train.shape == (96, 28, 28)
    assert data.test.shape == (40, 28, 28)
    assert data.train_labels.dtype == np.int64
    assert data.train_labels.max() < 10 <= data.train.max()
    assert len(serving.images(files, 8).train) == len(serving.images(files, 8).test_labels) == 8
    assert serving.scaled(np.array([[[0, 255]]], np.uint8)).tolist() == [[[0.0, 1.0]]]


def test_a_rate_counts_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that end later than they return, as JAX's do: what the untimed ones left undone is not timed either."""
    now, undone = 0.0, 0
    monkeypatch.setattr(serving.time, "perf_counter", lambda: now)

    def step() -> int:
        nonlocal now, undone
        now, undone = now + 2, undone + 1
        return 10

    def finish() -> None:
        nonlocal now, undone
        now, undone = now + undone, 0

    assert serving.rate(step, seconds=5, untimed=3, finish=finish) == pytest.approx(30 / 9)
    assert serving.rate(step, seconds=0) == 5


def test_the_clock_stands_while_accuracy_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(serving.time, "perf_counter", lambda: now)

    def passing(seconds: float) -> float:
        nonlocal now
        now += seconds
        return 0.5

    def curve(epochs: int, limit: float | None) -> list[tuple[float, float]]:
        return serving.trained(epochs, serving.Clock(), lambda: passing(10), lambda: passing(3), limit)["curve"]

    assert curve(3, None) == [(10, 0.5), (20, 0.5), (30, 0.5)]
    assert curve(3, 15) == [(10, 0.5), (20, 0.5)]
    assert curve(3, 1) == [(10, 0.5)]


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1,000 parameters, and Striate's has 1,001"):
        serving.same_size(1000, 1001)
    with pytest.raises(ValueError, match="nan"):
        serving.finite(math.nan)


def test_memory_is_more_than_this_library_needs() -> None:
    block = np.ones(50 * 2**17)  # 50 MiB
    assert serving.memory()["mib"] > block.nbytes / 2**20


@pytest.mark.parametrize("network", ["fashion_cnn", "resnet18:stem=small"])
def test_both_networks_compute_the_same(network: str) -> None:
    """With Striate's weights the plain network gives Striate's logits."""
    ours, plain = striate.create(network, seed=1).eval(), pytorch_peer.NETWORKS[network]().eval()
    torch.nn.init.normal_([*ours.parameters()][-2], generator=torch.Generator().manual_seed(2))
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(plain(x), ours(x), rtol=1e-4, atol=1e-4)
    assert plain(x).std() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("peer", [pytorch_peer, striate_peer])
def test_networks_are_measured(peer: object, files: list[str]) -> None:
    common = {"network": NETWORK, "parameters": PARAMETERS, "files": files}
    trained = peer.train(**common, batch=32, seconds=0, untimed=1)
    assert trained["images_per_second"] > 0
    assert 0 < trained["loss"] < 10
    assert peer.infer(**common, batch=32, images=33, seconds=0)["images_per_second"] > 0
    assert 0 < peer.latency(**common, repeats=1)["seconds"] < 60
    assert peer.product(side=16, repeats=1)["gflops"] > 0
    with pytest.raises(ValueError, match="and Striate's has 5"):
        peer.train(**{**common, "parameters": 5}, batch=32, seconds=0, untimed=1)


def test_striate_trains_in_float32_or_as_is_usual(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"network": NETWORK, "parameters": PARAMETERS, "files": files, "batch": 8, "seconds": 0, "untimed": 1}
    monkeypatch.setattr(striate_peer, "usual", lambda model, inputs, batch, device: "bfloat16")
    assert striate_peer.train(**asked)["precision"] == "float32"
    assert striate_peer.train(**asked, trial=True)["precision"] == "bfloat16"


def test_striate_classifies_in_float32_or_as_is_usual(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"network": NETWORK, "parameters": PARAMETERS, "files": files, "batch": 8, "images": 8, "seconds": 0}
    monkeypatch.setattr(predictor, "usual", lambda model, inputs, batch, device: "bfloat16")
    assert striate_peer.infer(**asked)["precision"] == "float32"
    assert striate_peer.infer(**asked, trial=True)["precision"] == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("run", [program, sklearn_peer.program])
def test_programs_are_looked_at_after_each_epoch(run: object, files: list[str]) -> None:
    curve = run("any", files, seed=0, epochs=2, limit=None, images=None)["curve"]
    assert len(curve) == 2
    assert 0 < curve[0][0] < curve[1][0]
    assert all(0 <= accuracy <= 1 for _, accuracy in curve)


def test_our_program_is_looked_at_when_it_is_done() -> None:
    settings = {"epochs": 1, "batch_size": 256}
    answer = striate_peer.program("digits", "mlp", "modern", settings, seed=0, images=None)
    ((seconds, accuracy),) = answer["curve"]
    assert seconds > 0
    assert 0.05 < accuracy < 1
    assert answer["alone"] == accuracy, "this recipe has no views"
    assert answer["precision"] in ("float32", "bfloat16")


def test_the_image_alone_and_its_views_are_told_apart() -> None:
    settings = {"epochs": 1, "batch_size": 256, "tta": "shifts"}
    answer = striate_peer.program("digits", "mlp", "modern", settings, seed=0, images=None)
    ((_, accuracy),) = answer["curve"]
    assert accuracy != answer["alone"]


def test_memory_is_taken_by_a_file_of_that_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Noted(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                sizes.append(os.fstat(self.fileno()).st_size)
            super().close()

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Noted(tmp_path / "file", "w"))
    serving.take_memory(5 * 2**20)
    assert sizes == [5 * 2**20]


def test_a_folder_is_loaded_by_both(tmp_path: Path) -> None:
    for place in range(20):
        folder = tmp_path / str(place % 2)
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (20, 16), (place, 2 * place, 99)).save(folder / f"{place}.jpg")
    asked = {"path": str(tmp_path), "side": 8, "batch": 4, "epochs": 2, "processes": 0, "memory": 2**20}
    for load in (pytorch_folder.folder, striate_peer.folder):
        answer = load(**asked)
        assert answer["images"] == 20
        assert len(answer["seconds"]) == 2
        assert min(answer["seconds"]) > 0
