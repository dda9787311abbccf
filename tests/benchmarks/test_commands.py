"""Whole commands: what is started, and the tables of their times."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.parts import commands
from benchmarks.store import Store


@pytest.fixture
def small(bench: Bench) -> Bench:
    bench.size = dataclasses.replace(bench.size, rounds=1, startups=1, command_data="digits")
    return bench


@pytest.mark.slow
def test_a_commands_parts_add_up_to_all_of_its_time(small: Bench, tmp_path: Path) -> None:
    found = commands._in_parts(small, tmp_path, commands.COMMANDS["train"])
    assert list(found["parts"]) == [part for part in commands.PARTS if part not in ("computing",)]
    assert min(found["parts"].values()) >= 0
    assert found["parts"]["import torch"] > found["parts"]["Python"]


def test_a_command_that_fails_is_an_error(small: Bench, tmp_path: Path) -> None:
    assert "nowhere" in commands._whole(small, tmp_path, "train --data nowhere")["error"]


def test_the_table_compares_with_the_import_of_torch(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.json", {})
    for place, (torch, predict) in enumerate([(1.0, 1.2), (2.0, 2.4), (1.0, 1.3)]):
        store.measure(f"commands/import torch/{place}", lambda torch=torch: {"seconds": torch})
        store.measure(f"commands/predict RUN one.png/{place}", lambda predict=predict: {"seconds": predict})
    parts = {"Python": 0.05, "import torch": 0.5, "computing": 0.25}
    store.measure("command-parts/predict RUN one.png/0", lambda: {"parts": parts})
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in commands.tables(store).splitlines()]
    assert ["striate predict RUN one.png", "1.30", "1.30", "–", "3"] in lines
    assert ["import torch", "1.00", "1.00", "–", "3"] in lines
    assert ["computing", "0.250"] in lines
