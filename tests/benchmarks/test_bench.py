"""Taking turns, and what is kept beside a result."""

import datetime
import re

from benchmarks.bench import Bench


def days() -> list[datetime.date]:
    """Today, and the day before, if midnight has just passed."""
    today = datetime.date.today()
    return [today, today - datetime.timedelta(days=1)]


def test_each_round_another_one_begins(bench: Bench) -> None:
    assert list(bench.rounds("abc")) == [(0, "a"), (0, "b"), (0, "c"), (1, "b"), (1, "c"), (1, "a")]


def test_every_result_has_the_reference_rate_and_the_date_of_its_time(bench: Bench) -> None:
    rates = iter((210.0, 190.0, 100.0, 100.0))
    bench.reference_rate = lambda: next(rates)
    for turn in range(2):
        bench.measure(f"train/{turn}", lambda: {"images_per_second": 1.0})
    results = bench.store.rounds("train").values()
    assert [result["yardstick"] for result in results] == [200.0, 100.0]
    assert all("commit" in result for result in results)
    assert {result["date"] for result in results} <= {str(day) for day in days()}


def test_only_keys_that_match_are_measured(bench: Bench) -> None:
    bench.match = re.compile("fashion_cnn/(1|128)/")
    for key in (
        "train/fashion_cnn/32/us",
        "train/fashion_cnn/128/us",
        "latency/fashion_cnn/1/us",
        "train/lenet5/128/us",
    ):
        bench.measure(key, lambda: {"images_per_second": 1.0})
    assert list(bench.store.results) == ["train/fashion_cnn/128/us", "latency/fashion_cnn/1/us"]


def test_what_is_kept_takes_no_time(bench: Bench) -> None:
    said: list[str] = []
    bench.log = said.append
    for _ in range(2):
        bench.measure("train/0", lambda: {"images_per_second": 1.0})
    assert said == ["train/0"]
    bench.measure("train/1", lambda: {"error": "out of memory"})
    assert said[1:] == ["train/1", "  failed: out of memory"]
