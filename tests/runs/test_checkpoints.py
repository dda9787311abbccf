"""Checkpoints: whole or not there, checked when read, the previous one kept."""

from pathlib import Path

import pytest
import torch
from small_run import Dropping

from striate.errors import CheckpointError, DivergedError
from striate.runs import checkpoints


def saved(folder: Path, *steps: int) -> torch.nn.Module:
    model = Dropping()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in steps:
        model(torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(step))).sum().backward()
        optimizer.step()
        checkpoints.save(folder, checkpoints.capture(model, optimizer, {"step": step, "plan": "10", "totals": {}}))
    return model


def test_the_newest_two_are_kept(tmp_path: Path):
    saved(tmp_path, 1, 2, 3, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000003.json",
        "step-000000003.safetensors",
        "step-000000010.json",
        "step-000000010.safetensors",
    ]


def test_a_round_trip_restores_weights_and_momentum(tmp_path: Path):
    model = saved(tmp_path, 1, 2)
    checkpoint, notes = checkpoints.newest(tmp_path)
    assert notes == []
    other = Dropping(seed=4)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    checkpoints.restore(checkpoint, other, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    momentum = [optimizer.state[p]["momentum_buffer"] for p in other.parameters()]
    assert all(
        m.abs().sum() > 0 and m.stride() == p.stride() for m, p in zip(momentum, other.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", ["step-000000002.safetensors", "step-000000002.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_checkpoint_cut_short_gives_way_to_the_previous_one(tmp_path: Path, name: str, keep: float):
    saved(tmp_path, 1, 2)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    checkpoint, notes = checkpoints.newest(tmp_path)
    assert checkpoint.values["step"] == 1
    assert len(notes) == 1
    assert name in notes[0]


def test_a_missing_weights_file_gives_way_to_the_previous_one(tmp_path: Path):
    saved(tmp_path, 1, 2)
    (tmp_path / "step-000000002.safetensors").unlink()
    assert checkpoints.newest(tmp_path)[0].values["step"] == 1


def test_weights_without_their_json_do_not_exist(tmp_path: Path):
    saved(tmp_path, 1, 2)
    (tmp_path / "step-000000002.json").unlink()
    checkpoint, notes = checkpoints.newest(tmp_path)
    assert checkpoint.values["step"] == 1
    assert notes == []
    saved(tmp_path, 3)
    assert not (tmp_path / "step-000000002.safetensors").exists()


def test_all_damaged_is_an_error_that_names_them(tmp_path: Path):
    saved(tmp_path, 1, 2)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"no")
    with pytest.raises(CheckpointError, match=r"step-000000002\.safetensors.*step-000000001\.safetensors"):
        checkpoints.newest(tmp_path)


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path):
    assert checkpoints.newest(tmp_path / "nothing") == (None, [])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_never_kept(value: float):
    model = Dropping()
    with torch.no_grad():
        model.dense.weight[0, 0] = value
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(DivergedError, match=r"dense\.weight .* at step 7"):
        checkpoints.capture(model, optimizer, {"step": 7})


def test_weights_that_do_not_fit_are_all_named():
    weights = Dropping().state_dict()
    weights["surplus"] = weights.pop("conv.bias")
    weights["output.bias"] = torch.zeros(7)
    with pytest.raises(CheckpointError, match=r"missing conv\.bias; surplus surplus; output\.bias has shape \(7,\)"):
        checkpoints.load_weights(Dropping(), weights, "w.safetensors")
