"""Results on disk: kept at once, not measured twice, not mixed with those of another machine."""

import json
from pathlib import Path

import pytest

from benchmarks.store import Store
from striate.errors import CheckpointError, DataError


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Store(path, {"size": "full"}).measure("a/1", lambda: {"gflops": 7.0})
    again = Store(path, {"size": "full"})
    assert again.measure("a/1", pytest.fail) == {"gflops": 7.0}


def test_each_result_is_on_disk_when_the_next_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    store = Store(path, {})
    store.measure("a/1", lambda: {"gflops": 7.0})

    def interrupted() -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.measure("a/2", interrupted)
    assert json.loads(path.read_text())["results"] == {"a/1": {"gflops": 7.0}}


def test_failures_are_tried_again_and_count_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    store = Store(path, {})
    store.measure("a/1", lambda: {"error": "out of memory"})
    assert store.failures() == {"a/1": "out of memory"}
    assert store.rounds("a") == {}
    again = Store(path, {})
    assert again.measure("a/1", lambda: {"gflops": 7.0}) == {"gflops": 7.0}
    assert again.failures() == {}


def test_another_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Store(path, {"size": "full", "machine": {"cores": 2}}).measure("a/1", lambda: {"gflops": 7.0})
    with pytest.raises(
        DataError, match="differs in machine from what is measured now, and times from both don't compare"
    ):
        Store(path, {"size": "full", "machine": {"cores": 4}})


def test_a_file_is_read_whatever_machine_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Store(path, {"machine": {"cores": 2}}).measure("a/1", lambda: {"gflops": 7.0})
    store = Store.opened(path)
    assert store.header["machine"] == {"cores": 2}
    assert store.rounds("a") == {"1": {"gflops": 7.0}}
    with pytest.raises(CheckpointError, match="nowhere"):
        Store.opened(tmp_path / "nowhere.json")


def test_rounds_are_of_this_prefix_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.json", {})
    for key in ("train/net/0", "train/net/1", "train/network/0"):
        store.measure(key, lambda: {"gflops": 1.0})
    assert list(store.rounds("train/net")) == ["0", "1"]
