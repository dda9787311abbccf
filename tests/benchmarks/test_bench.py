"""Taking turns, and what is kept beside a result."""

from benchmarks.bench import Bench


def test_each_round_another_one_begins(bench: Bench) -> None:
    assert list(bench.turns("abc")) == [(0, "a"), (0, "b"), (0, "c"), (1, "b"), (1, "c"), (1, "a")]


def test_every_result_has_the_yardstick_of_its_time(bench: Bench) -> None:
    rates = iter((200.0, 100.0))
    bench.yardstick = lambda: next(rates)
    results = [bench.measure(f"train/{turn}", lambda: {"images_per_second": 1.0}) for turn in range(2)]
    assert [result["yardstick"] for result in results] == [200.0, 100.0]
    assert all("commit" in result for result in results)


def test_what_is_kept_takes_no_time(bench: Bench) -> None:
    said: list[str] = []
    bench.say = said.append
    for _ in range(2):
        bench.measure("train/0", lambda: {"images_per_second": 1.0})
    assert said == ["train/0"]
    bench.measure("train/1", lambda: {"error": "out of memory"})
    assert said[1:] == ["train/1", "  failed: out of memory"]
