"""Peers that are no libraries, and a bench to measure them with."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.programs import Peer
from benchmarks.sizes import Size
from benchmarks.store import Store


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Peer]:
    """Makes a peer that answers with a rate, and its environment."""

    def make(name: str, rate: float = 100.0, **environment: str) -> Peer:
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        variables = {"RATE": str(rate), **environment}
        return Peer(name, name.title(), "tests.benchmarks.fake_peer", (), "import this", variables)

    return make


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Bench of two rounds, with a reference matmul rate of 50 and no log."""
    store = Store(tmp_path / "results.json", {"size": "test"})
    size = Size(rounds=2, networks=("lenet5_modern",), batches=(32,))
    return Bench(size, store, tmp_path, threads=3, reference_rate=lambda: 50.0, log=lambda line: None)
