"""Metrics against SciPy, against slow and obvious versions of the definitions, and against what a hand can count."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats

from striate.errors import ArgumentError
from striate.evaluation.metrics import class_scores, confusion_matrix, expected_calibration_error, wilson_interval


@pytest.mark.slow
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_the_interval_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    right, n = counts
    expected = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(right, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 3, 359, 10_000])
def test_the_interval_stays_inside_and_keeps_its_width_at_the_ends(n: int) -> None:
    assert wilson_interval(0, n)[0] == 0
    assert wilson_interval(n, n)[1] == 1
    assert 0 < wilson_interval(n, n)[0] < 1


@pytest.mark.parametrize(("right", "n", "confidence"), [(0, 0, 0.95), (2, 1, 0.95), (-1, 1, 0.95), (1, 1, 1.0)])
def test_the_interval_refuses_what_has_none(right: int, n: int, confidence: float) -> None:
    with pytest.raises(ArgumentError, match="no interval"):
        wilson_interval(right, n, confidence)


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


def test_classes_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 0, 1, 1, 1, 1])
    cat, dog, eel, fox = class_scores(labels, predicted, ("cat", "dog", "eel", "fox"))
    assert (cat.precision, cat.recall, cat.support) == (1.0, pytest.approx(2 / 3), 3)
    assert (dog.precision, dog.recall, dog.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert (eel.precision, eel.recall, eel.f1, eel.support) == (None, 0.0, 0.0, 1)  # never predicted
    assert (fox.precision, fox.recall, fox.f1, fox.support) == (None, None, None, 0)  # not even there
    assert cat.to_dict() == {"class": "cat", "precision": 1.0, "recall": cat.recall, "f1": cat.f1, "support": 3}


def test_confusion_by_hand() -> None:
    labels, predicted = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 0, 1, 1, 1])
    assert confusion_matrix(labels, predicted, 4) == [[2, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
