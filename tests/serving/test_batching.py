"""Batches: their sizes, the bound of the queue, and what becomes of images that waited for too long."""

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.serving.batching import Batcher, Job, Outcome
from striate.serving.responses import RefusedError


class Summing:
    """Engine whose logits are the images' only pixel; computes when it is let."""

    name, precision = "torch", "float32"

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        self.open.wait()
        self.batches.append(len(pixels))
        if 255 in pixels:
            raise RuntimeError("engine broke")
        return pixels.reshape(len(pixels), 1).astype(np.float32)


class Collected:
    """What becomes of jobs."""

    def __init__(self, engine: Summing, **settings: Any):
        self.outcomes: dict[Job, Outcome] = {}
        self.changed = threading.Condition()
        self.batcher = Batcher(engine, done=self.done, **{"capacity": 256, "timeout": 60.0, **settings})
        self.batcher.start(np.zeros((1, 1, 1, 1), np.uint8))
        engine.batches.clear()

    def done(self, ended: list[tuple[Job, Outcome]]) -> None:
        with self.changed:
            self.outcomes |= dict(ended)
            self.changed.notify_all()

    def put(self, *values: int) -> Job:
        job = self.batcher.admit(len(values))
        job.pixels = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
        self.batcher.put(job)
        return job

    def of(self, job: Job) -> Outcome:
        with self.changed:
            assert self.changed.wait_for(lambda: job in self.outcomes, 20)
            return self.outcomes[job]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=12), st.booleans())
def test_each_job_gets_the_logits_of_its_own_images(counts: list[int], padded: bool) -> None:
    engine = Summing()
    kept = Collected(engine, capacity=1000, padded=padded)
    engine.open.clear()
    wanted = [[(7 * place + number) % 251 for number in range(count)] for place, count in enumerate(counts)]
    jobs = [kept.put(*values) for values in wanted]
    engine.open.set()
    for job, values in zip(jobs, wanted, strict=True):
        logits = kept.of(job)
        assert isinstance(logits, np.ndarray)
        assert logits.ravel().tolist() == values
    kept.batcher.close()
    assert kept.batcher.waiting == 0
    assert max(engine.batches) <= 64
    assert not padded or set(engine.batches) <= {1, 4, 16, 64}


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [(1, [1]), (2, [1, 1]), (3, [4]), (11, [4, 4, 4]), (12, [16]), (47, [16, 16, 16]), (48, [64])],
)
def test_a_batch_is_padded_by_a_third_at_most(waiting: int, batches: list[int]) -> None:
    engine = Summing()
    kept = Collected(engine)
    job = kept.batcher.admit(waiting)
    job.pixels = np.zeros((waiting, 1, 1, 1), np.uint8)
    kept.batcher.put(job)
    kept.of(job)
    kept.batcher.close()
    assert engine.batches == batches


def test_images_are_counted_and_a_request_is_all_or_nothing() -> None:
    engine = Summing()
    kept = Collected(engine, capacity=10)
    engine.open.clear()
    first = kept.put(1)
    while kept.batcher.waiting:  # until the engine has taken it
        time.sleep(0.001)
    jobs = [kept.put(*range(6)), kept.put(1, 2, 3)]
    with pytest.raises(RefusedError, match="9 images are waiting, and at most 10 may") as refused:
        kept.put(1, 2)
    assert refused.value.status == 503
    assert refused.value.retry_after is not None
    jobs.append(kept.put(9))
    with pytest.raises(RefusedError, match="11 images, and at most 10"):
        kept.batcher.admit(11)
    engine.open.set()
    assert [len(kept.of(job)) for job in [first, *jobs]] == [1, 6, 3, 1]  # type: ignore[arg-type]
    kept.batcher.close()
    assert kept.batcher.waiting == 0


def test_what_waited_too_long_is_never_computed() -> None:
    engine = Summing()
    kept = Collected(engine, timeout=0.05)
    engine.open.clear()
    first = kept.put(1)
    while kept.batcher.waiting:
        time.sleep(0.001)
    late = kept.put(*[2] * 20)
    time.sleep(0.06)
    engine.open.set()
    kept.of(first)
    found = kept.of(late)
    assert isinstance(found, RefusedError)
    assert (found.status, found.retry_after) == (503, 1)
    assert engine.batches == [1]
    assert kept.batcher.waiting == 0
    assert len(kept.of(kept.put(3))) == 1  # type: ignore[arg-type]
    kept.batcher.close()


def test_who_could_not_be_computed_in_time_is_refused_at_once() -> None:
    kept = Collected(Summing(), timeout=1.0)
    kept.batcher.pace = 0.1
    job = kept.batcher.admit(11)
    with pytest.raises(RefusedError, match="wait for longer than 1 s") as refused:
        kept.batcher.admit(1)
    assert refused.value.retry_after == 1
    kept.batcher.withdraw(job)
    assert kept.batcher.admit(1).count == 1
    kept.batcher.close()


def test_a_hiccup_of_the_engine_does_not_refuse_for_ever() -> None:
    kept = Collected(Summing(), timeout=1.0)
    kept.batcher.pace = 100.0
    for _ in range(40):
        kept.of(kept.put(1))
    assert kept.batcher.pace < 0.1
    kept.batcher.close()


def test_an_engine_that_fails_fails_those_requests_alone() -> None:
    engine = Summing()
    kept = Collected(engine)
    engine.open.clear()
    fine = kept.put(1)
    while kept.batcher.waiting:
        time.sleep(0.001)
    broken, after = kept.put(*[255] * 70), kept.put(*[5] * 3)
    engine.open.set()
    assert isinstance(kept.of(broken), RuntimeError)
    assert kept.of(fine).tolist() == [[1]]  # type: ignore[union-attr]
    assert kept.of(after).tolist() == [[5]] * 3  # type: ignore[union-attr]
    kept.batcher.close()
    assert kept.batcher.waiting == 0


def test_closing_computes_what_is_queued() -> None:
    engine = Summing()
    kept = Collected(engine)
    engine.open.clear()
    jobs = [kept.put(value) for value in range(30)]
    threading.Timer(0.02, engine.open.set).start()
    kept.batcher.close()
    assert all(isinstance(kept.of(job), np.ndarray) for job in jobs)
    with pytest.raises(RefusedError, match="shutting down"):
        kept.batcher.admit(1)
