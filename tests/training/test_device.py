"""Which device: what there is, and a refusal where there is none."""

import pytest
import torch

from striate.errors import ArgumentError
from striate.training import pick


@pytest.mark.parametrize(("gpu", "auto"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, gpu, auto):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert pick() == pick("auto") == torch.device(auto)
    assert pick("cpu") == torch.device("cpu")


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match="device 'cuda': PyTorch finds no GPU here; use --device cpu or auto"):
        pick("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick("cuda") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "tpu", "CPU", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ArgumentError, match=f"device '{name}': use one of auto, cpu, cuda"):
        pick(name)
