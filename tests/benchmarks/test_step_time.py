"""The model of a step's time: what it says of cases that can be counted by hand, and that a fit finds what made it."""

from dataclasses import replace

import pytest

from benchmarks.step_time import Coefficients, fitted_steps, fitted_sums, step_time, sum_time

LINKS = Coefficients(latency=1e-3, bandwidth=1e6)


def test_a_process_alone_sums_nothing():
    assert sum_time(LINKS, 1, 1e9) == 0.0


def test_a_ring_sends_almost_twice_the_bytes_over_each_link():
    assert sum_time(LINKS, 2, 1e6) == pytest.approx(2e-3 + 1.0)
    assert sum_time(LINKS, 4, 1e6) == pytest.approx(6e-3 + 1.5)
    assert sum_time(replace(LINKS, latency=0.0), 1000, 1e6) == pytest.approx(2.0, rel=0.01)


def test_each_process_copies_and_adds_its_bytes():
    assert sum_time(replace(LINKS, work=1e-6), 2, 1e6) == pytest.approx(2e-3 + 1.0 + 1.0)


def test_processes_that_share_cores_take_turns():
    shared = replace(LINKS, work=1e-6, shared_cores=2)
    assert sum_time(shared, 2, 1e6) == sum_time(replace(shared, shared_cores=0), 2, 1e6)
    assert sum_time(shared, 4, 1e6) == pytest.approx(2 * (6e-3 + 1.0 + 1.5))


def test_a_step_is_what_it_computes_sums_and_waits_for():
    known = Coefficients(1e-3, 1e6, begin=0.1, sample=0.01, step=1.0)
    assert step_time(known, 1, 10, 4, 1e6, "exact") == pytest.approx(1.0 + 0.4 + 0.1)
    assert step_time(known, 2, 10, 4, 1e6, "exact") == pytest.approx(1.5 + 1.002)
    assert step_time(known, 2, 10, 4, 1e6, "ddp") == pytest.approx(1.5 + 1.002), "nothing is hidden"
    assert step_time(replace(known, hidden=1.0), 2, 10, 4, 1e6, "ddp") == pytest.approx(1.5 + 1.002 - 0.1)
    assert step_time(replace(known, hidden=1.0), 2, 1000, 4, 1e6, "ddp") == pytest.approx(1.4 + 10 + 0.002)
    assert step_time(replace(known, decode=1.0, cores=2), 1, 10, 4, 1e6, "exact") == pytest.approx(5.0)


def test_a_fit_finds_the_coefficients_that_made_the_times():
    made = Coefficients(2e-4, 3e9, work=1e-10, begin=0.02, sample=0.004, step=0.05, shared_cores=2)
    sums = {(n, size): sum_time(made, n, size) for n in (2, 4) for size in (2**16, 2**23)}
    ways = [(1, 16, 1, "exact"), (1, 64, 1, "exact"), (1, 64, 4, "exact")]
    steps = {way: step_time(made, 1, way[1], way[2], 0, "exact") for way in ways}
    found = fitted_steps(fitted_sums(sums, shared_cores=2), steps)
    for name in ("latency", "bandwidth", "work", "begin", "sample", "step"):
        assert getattr(found, name) == pytest.approx(getattr(made, name), rel=1e-6)
