"""Training on several processes: equal bytes, resumed on other numbers, killed; DistributedDataParallel."""

import json
from pathlib import Path
from typing import Any

import pytest
from several import Several

pytestmark = pytest.mark.slow

MIXED = {"augment": "flip,shift=0.1,mixup=0.3", "optimizer": "muon", "batch_size": 13, "shards": 4}


def weights(found: list[dict[str, Any]]) -> set[str]:
    return {each["weights"] for each in found}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"normalized": False, "class_weights": "balanced", "shards": 8},
        MIXED,
        {**MIXED, "precision": "bfloat16"},
        {"optimizer": "adamw", "precision": "bfloat16", "shards": 4, "batch_size": 98, "calibration": 0.3},
    ],
)
def test_weights_are_equal_on_any_number_of_processes(several: Several, tmp_path: Path, settings: dict[str, Any]):
    alone, two, four = (
        several.values(number, "fit", out=str(tmp_path / str(number)), **{"shards": 4, **settings})
        for number in (1, 2, 4)
    )
    assert len(weights([*alone, *two, *four])) == 1
    files = [(tmp_path / str(number) / "model.safetensors").read_bytes() for number in (1, 2, 4)]
    assert files[0] == files[1] == files[2]
    results = [found[0]["result"] for found in (alone, two, four)]
    assert all(result["accuracy"] == results[0]["accuracy"] for result in results)
    assert all(result["loss"] == results[0]["loss"] for result in results)


def test_killed_and_resumed_on_other_numbers_of_processes_gives_equal_bytes(several: Several, tmp_path: Path):
    whole = several.values(1, "fit", out=str(tmp_path / "whole"), shards=4)
    out = str(tmp_path / "run")
    first, second = several.call(2, "fit", out=out, shards=4, stop=4)
    assert first == {"error": "ended with 9"}
    assert second["error"].startswith("LostProcessError: another process of this run has ended")
    assert several.call(1, "fit", out=out, resume=True, stop=9) == [{"error": "ended with 9"}]
    assert weights(several.values(4, "fit", out=out, resume=True)) == weights(whole)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert not list((tmp_path / "run").glob(".*.part"))
    (refused, *_) = several.call(3, "fit", out=str(tmp_path / "run3"), shards=4)
    assert refused["error"].startswith("ArgumentError: 3 processes do not divide 4 shards")


def test_ddp_trains_all_alike_and_keeps_its_settings(several: Several, tmp_path: Path):
    found = several.values(2, "fit", out=str(tmp_path / "run"), sync="ddp", epochs=4)
    again = several.values(2, "fit", out=str(tmp_path / "again"), sync="ddp", epochs=4)
    assert len(weights([*found, *again])) == 1
    assert found[0]["recipe"]["sync"] == "ddp"
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["environment"]
    assert kept["processes"] == 2
    assert kept["ddp"]["bucket_cap_mb"] == 25


def test_a_budget_is_one_for_all_processes(several: Several, tmp_path: Path):
    found = several.values(2, "fit", out=str(tmp_path / "run"), budget=0.5)
    assert len(weights(found)) == 1
    assert found[0]["result"]["steps"] == found[1]["result"]["steps"]


def test_what_is_left_open_is_settled_by_the_number_of_processes(several: Several, tmp_path: Path):
    found = several.values(2, "fit", out=str(tmp_path / "run"), epochs=1)
    assert (found[0]["recipe"]["sync"], found[0]["recipe"]["shards"]) == ("exact", 4)
    alone = several.values(1, "fit", out=str(tmp_path / "alone"), epochs=1)
    assert (alone[0]["recipe"]["sync"], alone[0]["recipe"]["shards"]) == ("exact", 1)


def test_measuring_is_divided_without_padding(several: Several):
    found = [value for number in (1, 2, 3, 4) for value in several.values(number, "measure")]
    assert all(value == found[0] for value in found)
    assert found[0]["score"]["n"] == 300
