"""The part that loads folders, with peers that only pretend to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.parts import folder
from benchmarks.programs import Peer
from benchmarks.store import Store


@pytest.fixture
def peers(fake: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch) -> tuple[Peer, Peer]:
    made = (fake("striate", 300), fake("pytorch", 100))
    monkeypatch.setattr(folder, "LOADERS", made)
    monkeypatch.setattr(folder, "OURS", made[0])
    monkeypatch.setattr(folder, "PYTORCH", made[1])
    monkeypatch.setattr(folder, "draw", lambda place, count: Path(place).mkdir())
    return made


@pytest.mark.slow
def test_all_load_with_as_many_processes_as_threads_may_be_used(bench: Bench, peers: tuple[Peer, Peer]) -> None:
    folder.measure(bench)
    results = bench.store.results
    assert sorted(results) == [f"folder/3000/{name}/{turn}" for name in ("pytorch", "striate") for turn in range(2)]
    assert [each["request"]["processes"] for each in results.values()] == [bench.threads] * 4
    assert min(each["request"]["memory"] for each in results.values()) > 3000 * 224 * 224 * 3


@pytest.mark.slow
def test_the_table_tells_the_first_epoch_and_the_later_ones(bench: Bench, peers: tuple[Peer, Peer]) -> None:
    bench.store = Store(bench.store.path, {"machine": {"threads": bench.threads}})
    folder.measure(bench)
    lines = folder.tables(bench.store).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert cells[0][3] == "Pillow and DataLoader, 3 workers"
    assert cells[2] == ["3000", "first epoch", "150 (3.00×)", "50.0"]
    assert cells[3] == ["3000", "later epochs", "300 (3.00×)", "100"]
