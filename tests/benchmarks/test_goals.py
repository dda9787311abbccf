"""Goals: what is started for a test accuracy, and the table that says whether it was reached in time."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.parts import goals
from benchmarks.store import REFERENCE_RATE, Store


def test_goals_that_take_longer_than_the_size_allows_are_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = goals.Goal("mnist", 0.9, "train lenet5 --set steps=2", seeds=2, seconds=5)
    slow = goals.Goal("mnist", 0.9, "train lenet5 --set steps=3", seeds=1, seconds=11)
    monkeypatch.setattr(goals, "GOALS", (quick, slow))
    bench.size = dataclasses.replace(bench.size, seeds=3, command_data="digits", patience=10.0)
    goals.measure(bench)
    assert list(bench.store.results) == [f"{quick.key}/0", f"{quick.key}/1"]
    for found in bench.store.rounds(quick.key).values():
        assert 0 < found["trained"] < found["seconds"]
        assert 0 < found["accuracy"] < 0.9


def test_a_command_that_fails_is_an_error(bench: Bench) -> None:
    goal = goals.Goal("nowhere", 0.9, "train lenet5", seeds=1, seconds=5)
    assert "nowhere" in goals._trained(bench, goal, 0)["error"]


@pytest.mark.parametrize(("rate", "accuracies", "met"), [(110.0, (0.91, 0.94), "yes"), (220.0, (0.91, 0.94), "no"),
                                                         (110.0, (0.91, 0.92), "no")])  # fmt: skip
def test_a_goal_is_met_by_the_mean_accuracy_and_the_scaled_time(
    tmp_path: Path, rate: float, accuracies: tuple[float, float], met: str
) -> None:
    store, goal = Store(tmp_path / "results.json", {}), goals.GOALS[0]
    for seed, accuracy in enumerate(accuracies):
        found = {"seconds": 40.0 + seed, "trained": 30.0, "accuracy": accuracy, REFERENCE_RATE: rate}
        store.measure(f"{goal.key}/{seed}", lambda found=found: found)
    cells = [cell.strip() for cell in goals.tables(store).splitlines()[-1].strip("|").split("|")]
    assert cells[2] == "2"
    assert cells[4:] == ["40.5", "30.0", f"{40.5 * rate / 220:.1f}", "25.0", met]
