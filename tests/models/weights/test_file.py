"""Files of weights that are hostile, damaged, or something else: each is refused in one line."""

import argparse
import io
import json
import os
import pathlib
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from striate import models
from striate.errors import CheckpointError, StriateError
from striate.models.weights.file import read
from striate.models.weights.load import load


def refusal(path):
    """The reason for refusing a file, in one line."""
    with pytest.raises(CheckpointError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- headers


def with_header(path, header):
    text = header if isinstance(header, str) else json.dumps(header)
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, {"striate": text})
    return path


ARCHITECTURE = {"name": "mlp", "classes": 2, "channels": 1, "image_size": [28, 28], "options": {}}
PREPROCESS = {"height": 8, "width": 8, "channels": 1, "fit": "crop", "mean": [0.5], "std": [0.5]}


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "no JSON",
        "3",
        [],
        {"architecture": 3},
        {"architecture": {}},
        {"architecture": {**ARCHITECTURE, "name": 3}},
        {"architecture": {**ARCHITECTURE, "classes": "2"}},
        {"architecture": {**ARCHITECTURE, "classes": 10**30}},
        {"architecture": {**ARCHITECTURE, "classes": True}},
        {"architecture": {**ARCHITECTURE, "image_size": 28}},
        {"architecture": {**ARCHITECTURE, "image_size": [28]}},
        {"architecture": {**ARCHITECTURE, "image_size": [28, -1]}},
        {"architecture": {**ARCHITECTURE, "image_size": [28, 1e9]}},
        {"architecture": {**ARCHITECTURE, "options": [1]}},
        {"classes": "cats"},
        {"classes": [1, 2]},
        {"preprocess": [1]},
        {"preprocess": {**PREPROCESS, "height": 0}},
        {"preprocess": {**PREPROCESS, "height": 10**9}},
        {"preprocess": {**PREPROCESS, "fit": "none"}},
        {"preprocess": {**PREPROCESS, "mean": [float("nan")]}},
        {"preprocess": {**PREPROCESS, "std": [0.0]}},
        {"preprocess": {**PREPROCESS, "std": [0.1, 0.1]}},
    ],
)
def test_a_hostile_header_is_refused(tmp_path, header):
    assert "is damaged: " in refusal(with_header(tmp_path / "a.safetensors", header))


def test_a_valid_header_is_read(tmp_path):
    header = {"architecture": ARCHITECTURE, "classes": ["a", "b"], "preprocess": PREPROCESS, "later": 1}
    found = read(with_header(tmp_path / "a.safetensors", header)).header
    assert found["architecture"] == {**ARCHITECTURE, "image_size": (28, 28)}
    assert found["preprocess"]["mean"] == (0.5,)
    assert read(with_header(tmp_path / "a.safetensors", {"architecture": None})).header == {}


@pytest.mark.parametrize("sizes", [{"classes": 2**20}, {"image_size": [2**15, 2**15]}, {"name": "none"}])
def test_memory_is_not_taken_for_what_a_header_claims(tmp_path, sizes):
    """A model of these sizes has up to 10¹³ weights."""
    file = with_header(tmp_path / "a.safetensors", {"architecture": {**ARCHITECTURE, **sizes}})
    with pytest.raises(StriateError, match=r"don't fit mlp: missing: .*They belong to (mlp|none) for"):
        models.create("mlp", weights=file)


# ---------------------------------------------------------------- tensors


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch gives them up
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.eye(3).to_sparse(), "a is a sparse tensor, and dense ones are expected"),
        (torch.empty(3, device="meta"), "a is a tensor without values"),
        (quantized(), "a is a quantized tensor"),
        (torch.ones(3, dtype=torch.complex64), "a is a tensor of complex numbers"),
        (torch.ones(1).expand(2**20, 2**20), "a is of shape (1048576, 1048576), of more values than the file holds"),
    ],
)
def test_tensors_that_are_no_plain_numbers_are_refused(tmp_path, tensor, reason):
    torch.save({"a": tensor}, tmp_path / "a.pth")
    assert f"a.pth can't be used: {reason}" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (torch.tensor([[1.0, torch.nan]]), "weight holds NaN or infinite numbers"),
        (torch.tensor([[1.0, 1e300]], dtype=torch.float64), "weight holds NaN or infinite numbers"),
        (torch.tensor([[1, 2]]), r"of another kind: 1 \(weight is int64 and should be float32\)"),
    ],
)
def test_numbers_that_would_make_no_sense_in_the_model_are_refused(tmp_path, weight, reason, monkeypatch):
    monkeypatch.setattr("striate.models.weights.load.likely", lambda *_: None)  # it takes seconds
    torch.save({"weight": weight, "bias": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=reason):
        load(nn.Linear(2, 1), tmp_path / "a.pth")


def test_a_negative_variance_is_refused(tmp_path):
    """Its root would be NaN."""
    state = nn.BatchNorm2d(2).state_dict()
    state["running_var"][1] = -1
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="running_var, a variance, is negative"):
        load(nn.BatchNorm2d(2), tmp_path / "a.pth")


def test_what_lies_beside_the_weights_may_be_anything_plain(tmp_path):
    """timm and others save their arguments, NumPy's numbers and paths; what they are is not looked at."""
    beside = {
        "args": argparse.Namespace(lr=0.1), "best": np.float64(0.5), "curve": np.zeros(3), "out": pathlib.Path("x"),
        "nan": torch.tensor(torch.nan), 7: torch.ones(2),
    }  # fmt: skip
    torch.save({"state_dict": {"weight": torch.ones(1, 2), "bias": torch.ones(1)}, **beside}, tmp_path / "a.pth")
    layer = nn.Linear(2, 1)
    assert load(layer, tmp_path / "a.pth") == ("Left out of the file: nan.",)
    assert torch.equal(layer.weight, torch.ones(1, 2))


@pytest.mark.parametrize("value", [{1: torch.ones(2)}, {(1, 2): torch.ones(2)}, {None: {"a": torch.ones(2)}}])
def test_keys_that_are_no_text_name_no_weights(tmp_path, value):
    torch.save(value, tmp_path / "a.pth")
    assert "holds no weights: expected a state dict" in refusal(tmp_path / "a.pth")


# ---------------------------------------------------------------- other files


def test_a_byte_changed_in_a_pytorch_file_is_noticed(tmp_path):
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.index(np.arange(1000, dtype="<f4").tobytes()) + 100] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    assert "data/0 in it does not have its checksum (CRC-32)" in refusal(tmp_path / "a.pth")


def test_a_bomb_is_not_unfolded(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as file, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as packed:
        for name in file.namelist():
            packed.writestr(name, file.read(name))
    assert "b.pth is compressed: save the weights again" in refusal(tmp_path / "b.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_of_pytorch_are_told_apart(tmp_path):
    layer, inputs = nn.Linear(2, 2).eval(), torch.zeros(1, 2)
    torch.jit.save(torch.jit.trace(layer, inputs), tmp_path / "a.pt")
    assert "a.pt is a TorchScript program, and Striate runs no code" in refusal(tmp_path / "a.pt")
    state = torch.jit.load(tmp_path / "a.pt").state_dict()  # what the message recommends
    torch.save(state, tmp_path / "b.pt")
    assert load(nn.Linear(2, 2), tmp_path / "b.pt") == ()
    with zipfile.ZipFile(tmp_path / "c.pt2", "w") as file:
        file.writestr("c/archive_format", "pt2")
    assert "c.pt2 is a program of torch.export" in refusal(tmp_path / "c.pt2")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras writes them"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
    ],
)
def test_what_is_taken_for_weights_is_named(tmp_path, content, kind):
    (tmp_path / "a.pth").write_bytes(content)
    assert f"a.pth holds no weights: it is {kind}" in refusal(tmp_path / "a.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "null.pth").symlink_to("/dev/zero")
    for name in ("pipe.pth", "null.pth"):
        assert f"{name}: not a regular file." in refusal(tmp_path / name)


def test_reading_leaves_pytorchs_list_of_safe_classes_as_it_was(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    read(tmp_path / "a.pth")
    assert set(torch.serialization.get_safe_globals()) == before
    buffer = io.BytesIO()
    torch.save(argparse.Namespace(), buffer)
    buffer.seek(0)
    with pytest.raises(Exception, match=r"argparse\.Namespace"), warnings.catch_warnings():
        torch.load(buffer, weights_only=True)
