"""Temperatures and prediction sets: laws they must keep, and slow versions of their definitions."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import quick
from torch import Tensor

from striate.errors import ArgumentError
from striate.inference import UNCALIBRATED, Calibration, best_class, score_of
from striate.inference.calibration import CONFIDENCE, FREE_CLASSES, LEVELS, PENALTY, _rank, in_chunks, level_of


def drawn(n: int, classes: int = 5, seed: int = 0, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits, and labels drawn from their probabilities: a network that is calibrated exactly."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(n, classes, generator=generator)
    return logits, torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_was_put_on_is_found(temperature: float):
    logits, labels = drawn(20_000)
    found = Calibration.fit(logits * temperature, labels, "these")
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert (found.images, found.source) == (20_000, "these")


@quick
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 99))
def test_no_other_temperature_has_a_smaller_loss(n: int, classes: int, seed: int):
    logits, labels = drawn(n, classes, seed)
    found = Calibration.fit(logits, labels, "").temperature

    def loss(temperature: float) -> float:
        probabilities = np.exp(logits.double().numpy() / temperature)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return float(-np.log(probabilities[np.arange(n), labels.numpy()]).sum() + math.log(temperature) ** 2 / 2)

    assert loss(found) <= min(loss(found * factor) for factor in (0.8, 0.99, 1.01, 1.25)) + 1e-9


def test_a_few_images_that_are_all_right_dont_ask_for_certainty():
    logits = torch.tensor([[3.0, 0.0, -1.0]]).repeat(30, 1)
    found = Calibration.fit(logits, torch.zeros(30, dtype=torch.int64), "")
    assert 0.1 < found.temperature < 1
    assert float(found.probabilities(logits).max()) < 1 - 1e-6


@quick
@given(st.integers(1, 40), st.integers(2, 9), st.integers(0, 99), st.floats(0.05, 20))
def test_the_order_of_the_classes_stays_and_rows_sum_to_one(n: int, classes: int, seed: int, temperature: float):
    logits, _ = drawn(n, classes, seed)
    probabilities = Calibration(temperature=temperature).probabilities(logits)
    assert torch.equal(probabilities.argsort(dim=1), logits.double().argsort(dim=1))
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1.0] * n)
    assert torch.equal(UNCALIBRATED.probabilities(logits), logits.double().softmax(dim=1))


def slow_set(probabilities: list[float], quantile: float | None) -> list[int]:
    """RAPS without its random part, class by class."""
    order = sorted(range(len(probabilities)), key=lambda label: (-probabilities[label], label))
    found, before = [], 0.0
    for place, label in enumerate(order, start=1):
        score = before + PENALTY * max(0, place - FREE_CLASSES)
        if quantile is None or score <= quantile:
            found.append(label)
        before += probabilities[label]
    return found


@quick
@given(st.integers(20, 60), st.integers(2, 9), st.integers(0, 99), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_sets_are_those_of_the_definition(n: int, classes: int, seed: int, coverage: float):
    logits, labels = drawn(n, classes, seed)
    found = Calibration.fit(logits, labels, "")
    probabilities = found.probabilities(logits)
    quantile = found.quantiles[level_of(coverage)]
    sets = found.sets(logits, coverage)
    near = None if quantile is None else quantile + 1e-12  # sums of other orders round otherwise
    assert sets == [slow_set(row, near) for row in probabilities.tolist()]
    assert all(classes_[0] == best for classes_, best in zip(sets, logits.argmax(dim=1).tolist(), strict=True))
    held = sum(label in classes_ for label, classes_ in zip(labels.tolist(), sets, strict=True))
    assert held >= min(n, math.ceil((n + 1) * level_of(coverage) / 100))  # what split conformal prediction asks for


@quick
@given(st.integers(0, 60), st.integers(0, 99))
def test_a_larger_coverage_has_larger_sets(n: int, seed: int):
    logits, labels = drawn(n + 1, seed=seed)
    found = Calibration.fit(logits, labels, "")
    known = [math.inf if score is None else score for score in (found.quantiles[level] for level in LEVELS)]
    assert known == sorted(known)
    for small, large in zip(found.sets(logits, 0.6), found.sets(logits, 0.9), strict=True):
        assert large[: len(small)] == small


def test_fewer_than_45_images_give_no_set_for_95_percent_but_all_classes():
    logits, labels = drawn(45)  # 0.95^45 < 0.1
    assert Calibration.fit(logits, labels, "").quantiles[95] is not None
    few = Calibration.fit(logits[:44], labels[:44], "")
    assert few.quantiles[95] is None
    assert {len(classes) for classes in few.sets(logits, 0.95)} == {5}


@quick
@given(st.integers(1, 400), st.sampled_from(list(LEVELS)))
def test_the_rank_is_that_of_a_beta_distribution(n: int, level: int):
    rank = _rank(n, level / 100)
    if rank < n:
        assert stats.beta.sf(level / 100, rank + 1, n - rank) >= CONFIDENCE - 1e-9
    if rank > 0:
        assert stats.beta.sf(level / 100, rank, n - rank + 1) < CONFIDENCE


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_hold_the_right_class_in_ninety_of_a_hundred_draws(coverage: float):
    logits, labels = drawn(40_000, spread=1.5)
    others, known = 3 * logits[30_000:], labels[30_000:]
    enough = 0
    for start in range(0, 30_000, 150):  # 200 draws of the images that calibrate; the probabilities are wrong, too
        found = Calibration.fit(3 * logits[start : start + 150], labels[start : start + 150], "")
        sets = found.sets(others, coverage)
        held = np.mean([label in each for label, each in zip(known.tolist(), sets, strict=True)])
        enough += held >= coverage
    assert 0.9 - 3 * math.sqrt(0.09 / 200) < enough / 200  # three standard errors


def test_what_has_no_image_or_no_finite_logit_is_not_calibrated():
    logits, labels = drawn(30)
    assert Calibration.fit(logits[:0], labels[:0], "") == UNCALIBRATED
    logits[3, 2] = torch.nan
    assert Calibration.fit(logits, labels, "") == UNCALIBRATED
    with pytest.raises(ArgumentError, match="not calibrated"):
        UNCALIBRATED.sets(logits)


@pytest.mark.parametrize(("coverage", "level"), [(0.5, 50), (0.95, 95), (0.29 + 0.66, 95), (0.955, 96), (0.99, 99)])
def test_a_coverage_is_rounded_up_to_whole_percent(coverage: float, level: int):
    assert level_of(coverage) == level


@pytest.mark.parametrize("coverage", [0.0, 0.49, 0.991, 1.0, 95, -1, math.nan, math.inf])
def test_no_other_coverage_is_taken(coverage: float):
    with pytest.raises(ArgumentError, match=r"expected a share from 0\.5 to 0\.99"):
        level_of(coverage)


def test_plain_values_give_it_back():
    found = Calibration.fit(*drawn(25), "some images")
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": -1.0},
        {"temperature": "1"},
        {"temperature": math.inf},
        {"images": 1.5},
        {"images": -1},
        {"source": None},
        {"quantiles": {"95": "all"}},
        {"quantiles": {"x": 0.5}},
        {"quantiles": [0.5]},
        {"quantiles": {"95": math.nan}},
    ],
)
def test_other_values_are_refused(change: dict[str, object]):
    with pytest.raises(ValueError, match="validation error"):
        Calibration.from_dict({**Calibration.fit(*drawn(25), "").to_dict(), **change})


def test_chunks_of_rows_give_what_all_rows_give(monkeypatch: pytest.MonkeyPatch):
    logits, labels = drawn(200, 7, seed=3)
    logits = logits.round()  # with equal ones
    whole = Calibration.fit(logits, labels, "these")
    classes, sets, score = best_class(logits), whole.sets(logits), score_of(logits, labels)
    monkeypatch.setattr("striate.inference.calibration._AT_ONCE", 7 * 30)
    assert len(list(in_chunks(logits, labels))) == 7
    assert Calibration.fit(logits, labels, "these").temperature == pytest.approx(whole.temperature, rel=1e-5)
    assert torch.equal(best_class(logits), classes)
    assert whole.sets(logits) == sets
    assert score_of(logits, labels) == score
