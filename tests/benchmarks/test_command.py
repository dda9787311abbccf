"""The command: what it refuses, in a line, and what it tells of results."""

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.machine import use_threads
from benchmarks.parts import PARTS
from benchmarks.programs import PEERS
from benchmarks.report import report
from benchmarks.store import Store

MACHINE = {"processor": "a chip", "flags": ["avx2", "fma"], "threads": 1, "cores": 2, "memory_gib": 8.0}
HEADER = {"size": "full", "machine": MACHINE, "versions": {peer.name: {"python": "3.11.7"} for peer in PEERS}}


def kept(path: Path) -> Store:
    store = Store(path, HEADER)
    store.measure("product/flax/0", lambda: {"gflops": 180.0, "commit": "1234567"})
    store.measure("product/flax/1", lambda: {"gflops": 220.0, "commit": "1234567-dirty"})
    store.measure("product/pytorch/0", lambda: {"error": "its process ended with -9: no message"})
    return store


def test_the_report_names_machine_versions_results_and_failures(tmp_path: Path) -> None:
    told = report(kept(tmp_path / "results.json"), list(PARTS))
    assert "a chip, 1 of 2 cores, 8 GiB; avx2, fma" in told
    assert "- Flax NNX: python 3.11.7" in told
    assert "- measured at commit 1234567 and 1234567-dirty" in told
    assert "| Flax NNX | 200     |" in told
    assert "- product/pytorch/0: its process ended with -9" in told
    assert "Throughput" not in told
    assert "fastest" not in told


def test_showing_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    kept(path)
    before = path.read_bytes()
    assert main(["--show", "--out", str(path)]) == 0
    assert path.read_bytes() == before
    assert path.with_suffix(".md").read_text() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "throughputs"], "unknown part 'throughputs'. Did you mean 'throughput'?"),
        (["--threads", "0"], "--threads 0: at least 1 is needed"),
        (["--match", "(", "--peers", "nowhere"], "--match (: not a regular expression"),
        (["--peers", "nowhere"], "there is no environment for Keras on TensorFlow in nowhere"),
        (["--show", "--out", "nowhere.json"], "can't read nowhere.json"),
    ],
)
def test_mistakes_end_in_a_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmarks.machine.use_threads", lambda count: 1)
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert said in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_more_threads_than_cores_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("benchmarks.machine.cores", lambda: 2)
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    monkeypatch.setattr("os.sched_setaffinity", lambda *arguments: None, raising=False)
    assert [use_threads(count) for count in (None, 1, 64)] == [2, 1, 2]
    assert asked == [2, 1, 2]
