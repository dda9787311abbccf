"""The part that measures networks, with peers that only pretend to."""

from collections.abc import Callable

import pytest

from benchmarks.bench import Bench
from benchmarks.parts import throughput
from benchmarks.programs import OURS, Peer
from benchmarks.store import Store


@pytest.fixture
def peers(fake: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch) -> tuple[Peer, ...]:
    made = (fake("striate", 300), fake("slow", 100))
    monkeypatch.setattr(throughput, "NETWORKED", made)
    monkeypatch.setattr(throughput, "OURS", made[0])
    monkeypatch.setattr(Bench, "files", lambda self, data: [data])
    return made


@pytest.mark.slow
def test_everybody_has_a_turn_in_every_round(bench: Bench, peers: tuple[Peer, ...]) -> None:
    throughput.measure(bench)
    keys = [f"{what}/{peer.name}/{turn}" for what in ("train", "infer") for peer in peers for turn in range(2)]
    places = [key.replace("/", "/lenet5_modern/32/", 1) for key in keys]
    places += [f"{what}-chosen/lenet5_modern/32/striate/{turn}" for what in ("train", "infer") for turn in range(2)]
    places += [f"latency/lenet5_modern/1/{peer.name}/{turn}" for peer in peers for turn in range(2)]
    assert sorted(bench.store.results) == sorted(f"throughput/{place}" for place in places)
    first = bench.store.results["throughput/train/lenet5_modern/32/slow/0"]
    assert first["request"] == {
        "network": "lenet5_modern",
        "parameters": 61_706,
        "files": ["fashion-mnist"],
        "batch": 32,
        "seconds": bench.size.train_seconds,
        "untimed": bench.size.untimed,
    }
    as_chosen = bench.store.results["throughput/train-chosen/lenet5_modern/32/striate/0"]
    assert as_chosen["request"] == {**first["request"], "trial": True}


@pytest.mark.slow
def test_an_interrupted_run_asks_only_for_what_is_missing(bench: Bench, peers: tuple[Peer, ...]) -> None:
    throughput.measure(bench)
    missing = "throughput/infer/lenet5_modern/32/slow/1"
    del bench.store.results[missing]
    before = dict(bench.store.results)
    said: list[str] = []
    bench.log = said.append
    throughput.measure(bench)
    assert said == [missing]
    assert {key: each for key, each in bench.store.results.items() if key != missing} == before


@pytest.mark.slow
def test_tables_have_ratios_and_the_share_of_the_product(bench: Bench, peers: tuple[Peer, ...]) -> None:
    throughput.measure(bench)
    told = throughput.tables(bench.store)
    training = next(line for line in told.splitlines() if line.startswith("| training "))
    operations = 2 * (3 * 416_520 - 117_600)
    share = f"{300 * operations / 50e9:.0%}"
    cells = [cell.strip() for cell in training.strip("|").split("|")]
    assert cells == ["training", "lenet5_modern", "32", "300", "100 (3.00×)", share, "50.0"]
    chosen = next(line for line in told.splitlines() if line.startswith("| training, Striate in bfloat16"))
    cells = [cell.strip() for cell in chosen.strip("|").split("|")]
    assert cells == [*("training, Striate in bfloat16", "lenet5_modern", "32", "300", "100 (3.00×)", share, "50.0")]


@pytest.mark.slow
def test_without_a_trial_none_is_told(bench: Bench, peers: tuple[Peer, ...]) -> None:
    throughput.measure(bench)
    bench.store.results = {key: each for key, each in bench.store.results.items() if "-chosen" not in key}
    told = throughput.tables(bench.store)
    assert "| training " in told
    assert "Striate in" not in told


def test_tables_of_latencies(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = Peer("keras", "Keras", "none", (), "")
    monkeypatch.setattr(throughput, "NETWORKED", (OURS, keras))
    for peer, result in ((OURS, {"seconds": 0.001}), (keras, {"seconds": 0.05, "called_seconds": 0.004})):
        bench.store.measure(f"throughput/latency/fashion_cnn/1/{peer.name}/0", lambda r=result: r)
    lines = throughput.tables(bench.store).splitlines()[-2:]
    assert [cell.strip() for cell in lines[0].strip("|").split("|")][2:] == ["1.00", "50.0 (50.0×)"]
    assert [cell.strip() for cell in lines[1].strip("|").split("|")][2:] == ["1.00", "4.00 (4.00×)"]


def test_no_result_no_table(bench: Bench) -> None:
    assert throughput.tables(Store(bench.store.path, bench.store.header)) == ""


def test_what_networks_have_to_compute() -> None:
    assert throughput.parameters("fashion_cnn") == 1_413_834
    assert throughput.training_operations("fashion_cnn") == 2 * (3 * 89_466_496 - 28 * 28 * 64 * 49)
