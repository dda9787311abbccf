"""As many threads as have enough to do: chosen by a rule, and kept in the run."""

import json
import sys

import pytest
import torch
from small_run import Dropping, dataset, recipe

import striate
from striate.acceleration import threads
from striate.acceleration.precision import multiply_adds
from striate.acceleration.threads import thread_limit
from striate.runs import resume, train

CPU = torch.device("cpu")
IMAGES = torch.randn(4, 1, 8, 8)


def test_each_thread_has_enough_to_do():
    one = multiply_adds(Dropping(), IMAGES[:1])
    assert thread_limit(Dropping(), IMAGES, 1, CPU) == 1
    assert thread_limit(Dropping(), IMAGES, 2 * threads.WORK // one, CPU) == 1
    assert thread_limit(Dropping(), IMAGES, 2 * threads.WORK // one + 1, CPU) == 2
    assert thread_limit(Dropping(), IMAGES, 1, torch.device("cuda")) == sys.maxsize


@pytest.mark.parametrize(
    ("name", "side", "batch", "limit"),
    [("lenet5_modern", 28, 32, 1), ("mlp", 28, 32, 1), ("lenet5_modern", 28, 128, 5), ("quicknet_s", 28, 128, 114)],
)
def test_networks_that_were_measured(name, side, batch, limit):
    model = striate.create(name, image_size=side)
    assert thread_limit(model, torch.zeros(1, 1, side, side), batch, CPU) == limit


@pytest.fixture
def two_threads(monkeypatch):
    """A process that computes with two threads, as nobody asked for another number."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("striate.hardware.cores", lambda: 2)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("work", "asked", "environment", "kept"),
    [
        (threads.WORK, None, None, 1),
        (1, None, None, 2),
        (threads.WORK, 2, None, 2),
        (threads.WORK, None, "2", 2),
    ],
)
def test_a_run_keeps_what_was_chosen(monkeypatch, tmp_path, two_threads, work, asked, environment, kept):
    monkeypatch.setattr(threads, "WORK", work)
    if environment:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    counts = []
    watch = lambda event: counts.append(torch.get_num_threads())  # noqa: E731
    run = train(Dropping(), dataset(), recipe(epochs=1), out=tmp_path / "run", threads=asked, observer=watch)
    assert json.loads((run.path / "run.json").read_text())["environment"]["threads"] == kept
    assert set(counts) == {kept}
    assert torch.get_num_threads() == 2
    assert resume(run.path, model=Dropping(), data=dataset()).environment["threads"] == kept
