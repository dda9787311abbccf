"""Metrics against SciPy, against slow and obvious versions of the definitions, and against what a hand can count."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats
from sklearn import metrics

from striate.errors import ArgumentError
from striate.evaluation.metrics import class_scores, confusion_matrix, wilson_interval


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


@given(st.integers(2, 6).flatmap(lambda classes: st.tuples(
    st.just(classes), st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1)
)))  # fmt: skip
def test_both_are_scikit_learns(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = drawn
    labels, predicted = torch.tensor(pairs).unbind(dim=1)
    reference = metrics.precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=np.nan)
    scores = class_scores(labels, predicted, tuple(map(str, range(classes))))
    for column, name in zip(reference, ("precision", "recall", "f1", "support"), strict=True):
        own = [getattr(score, name) for score in scores]
        assert [np.nan if each is None else each for each in own] == pytest.approx(column, nan_ok=True, rel=1e-12)
    reference = metrics.confusion_matrix(labels, predicted, labels=range(classes))
    assert confusion_matrix(labels, predicted, classes) == reference.tolist()
