"""Metrics of probabilities, against slow and obvious versions of their definitions, SciPy, and simulation."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats

from striate.evaluation.calibration import (
    calibration_error_interval,
    error_by_chance,
    expected_calibration_error,
    reliability,
    set_score,
)


def drawn(n: int, classes: int, seed: int, sharpness: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities, and labels drawn from them; a sharpness of 2 squares the probabilities that are returned."""
    random = np.random.default_rng(seed)
    exact = random.dirichlet(np.full(classes, 0.4), n)
    labels = (exact.cumsum(axis=1) < random.random((n, 1))).sum(axis=1).clip(max=classes - 1)
    told = exact**sharpness
    return torch.from_numpy(told / told.sum(axis=1, keepdims=True)), torch.from_numpy(labels)


def slow_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Equation 3 of Guo et al. 2017, bin by bin."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    error = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / bins < c <= m / bins]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([confidence[i] for i in inside])
            error += len(inside) / len(labels) * abs(gap)
    return error


@given(st.integers(1, 60), st.integers(2, 6), st.sampled_from([1, 3, 10, 15]), st.integers(0, 2**32 - 1))
def test_the_calibration_error_is_the_definitions(n: int, classes: int, bins: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(classes, 0.4), n)
    labels = random.integers(0, classes, n)
    ours = expected_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), bins)
    assert ours == pytest.approx(slow_calibration_error(probabilities, labels, bins), abs=1e-12)
    assert 0 <= ours <= 1


def test_the_calibration_error_of_what_a_hand_can_count() -> None:
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert expected_calibration_error(sure, torch.tensor([0, 0, 1, 1])) == 0
    assert expected_calibration_error(sure, torch.tensor([1, 1, 0, 0])) == 1
    # Four images at 0.75 in one bin, half of them right.
    three_quarters = torch.tensor([[0.75, 0.25]]).repeat(4, 1)
    assert expected_calibration_error(three_quarters, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.25)


def test_the_edge_of_a_bin_belongs_to_the_bin_below() -> None:
    # With two bins 0.5 lies in the lower: gaps of +0.5 and −0.6 in bins of their own don't cancel.
    probabilities = torch.tensor([[0.5, 0.5], [0.6, 0.4]])
    assert expected_calibration_error(probabilities, torch.tensor([0, 1]), bins=2) == pytest.approx(0.55)


@given(st.integers(1, 80), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_calibration_error_is_the_mean_gap_of_the_reliability_bins(n: int, classes: int, seed: int) -> None:
    probabilities, labels = drawn(n, classes, seed)
    bins = reliability(probabilities, labels)
    error = sum(each.images * abs(each.accuracy - each.confidence) for each in bins) / n
    assert error == pytest.approx(expected_calibration_error(probabilities, labels), abs=1e-12)
    assert sum(each.images for each in bins) == n
    assert all(each.low < each.confidence <= each.high + 1e-12 for each in bins)


@pytest.mark.slow
def test_the_interval_is_scipys_basic_bootstrap() -> None:
    probabilities, labels = drawn(300, 4, 0, sharpness=2.0)

    def error(index: np.ndarray) -> float:
        return expected_calibration_error(probabilities[index], labels[index])

    expected = stats.bootstrap(
        (np.arange(300),), error, vectorized=False, method="basic", n_resamples=2000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert calibration_error_interval(probabilities, labels) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_the_interval_is_the_same_each_time_and_stays_inside() -> None:
    probabilities, labels = drawn(50, 3, 1)
    interval = calibration_error_interval(probabilities, labels)
    assert interval == calibration_error_interval(probabilities, labels)
    assert 0 <= interval[0] <= interval[1] <= 1
    broken = probabilities.clone()
    broken[0] = torch.nan
    assert all(np.isnan(calibration_error_interval(broken, labels)))


@pytest.mark.slow
@pytest.mark.parametrize("n", [150, 1000])
def test_chance_is_the_mean_error_of_labels_drawn_from_the_probabilities(n: int) -> None:
    errors, expected = zip(
        *(
            (expected_calibration_error(*pair), error_by_chance(*pair))
            for pair in (drawn(n, 3, seed) for seed in range(60))
        ),
        strict=True,
    )
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.1)


def test_sets_are_scored_as_a_hand_does() -> None:
    score = set_score([[0], [1, 2], [2, 0, 1], [1]], torch.tensor([0, 2, 1, 0]), 0.95)
    assert (score.coverage, score.mean_size, score.single) == (0.75, 1.75, 0.5)
    low, high = score.interval
    assert low < 0.75 < high
    assert score.to_dict()["interval"] == [low, high]
