"""Processes that answer in lines of JSON: what they are given, what they say, and how they end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.programs import OURS, Peer
from benchmarks.worker import environment_of, python_of, worker
from striate.errors import DataError

Fake = Callable[..., Peer]


def test_one_process_answers_all_requests(fake: Fake, tmp_path: Path) -> None:
    with worker(fake("one", 12.5), tmp_path, threads=1) as process:
        answers = [process.ask("train", batch=batch) for batch in (32, 128)]
    assert [answer["images_per_second"] for answer in answers] == [12.5, 12.5]
    assert [answer["request"] for answer in answers] == [{"batch": 32}, {"batch": 128}]
    assert answers[0]["process"] == answers[1]["process"]


def test_an_exception_is_an_answer(fake: Fake, tmp_path: Path) -> None:
    with worker(fake("one"), tmp_path, threads=1) as process:
        assert process.ask("fail") == {"error": "ValueError: no such layer"}
        assert "KeyError" in process.ask("dance")["error"]
        assert "mib" in process.ask("memory")


def test_a_process_that_dies_is_started_again(fake: Fake, tmp_path: Path) -> None:
    with worker(fake("one"), tmp_path, threads=1) as process:
        first = process.ask("train")
        assert process.ask("die") == {"error": "its process ended with 3: out of memory"}
        assert process.ask("train")["process"] != first["process"]


def test_threads_and_variables(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/striate")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    peer = fake("one", KERAS_BACKEND="jax")
    with worker(peer, tmp_path, threads=2) as process:
        given = process.ask("variables")
    assert [given[name] for name in ("OMP_NUM_THREADS", "NPROC", "KERAS_BACKEND")] == ["2", "2", "jax"]
    assert "PYTHONPATH" not in given, "a peer must not see Striate"
    assert environment_of(OURS, 2)["PYTHONPATH"] == "/somewhere/striate"


def test_an_environment_that_is_missing_is_named(tmp_path: Path) -> None:
    peer = Peer("keras-jax", "Keras on JAX", "none", (), "")
    with pytest.raises(DataError, match="no environment for Keras on JAX"):
        python_of(peer, tmp_path)
