"""Scores against slow counting and scikit-learn, for models that tie, fail or know few classes."""

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick

from striate.inference import Score, ranks, score_of

some = st.sampled_from([0.0, 0.5, 1.0, -3.0, 7.0, math.nan, math.inf, -math.inf])
tables = st.integers(1, 9).flatmap(
    lambda classes: st.lists(
        st.tuples(st.lists(some, min_size=classes, max_size=classes), st.integers(0, classes - 1)),
        min_size=1,
        max_size=8,
    )
)


def slow_rank(logits, label):
    """Sort the classes, the best first, what is not a number last; equals by their number."""
    order = sorted(
        range(len(logits)), key=lambda i: (math.isnan(logits[i]), -logits[i] if logits[i] == logits[i] else 0, i)
    )
    return order.index(label)


@quick
@given(tables)
def test_ranks_are_places_in_a_sorted_list(table):
    logits, labels = zip(*table, strict=True)
    places = ranks(torch.tensor(logits), torch.tensor(labels))
    assert places.tolist() == [slow_rank(row, label) for row, label in table]
    assert places.dtype == torch.int64


def test_a_broken_or_constant_model_scores_like_a_guess():
    labels = torch.arange(10).repeat(3)
    for value in (math.nan, 0.0, -math.inf):
        measured = score_of(torch.full((30, 10), value), labels)
        assert measured.accuracy == pytest.approx(0.1)
        assert measured.top5_error == 0.5


@pytest.mark.parametrize("classes", [2, 4, 5])
def test_with_five_classes_or_fewer_the_top_five_hold_the_right_one(classes):
    logits = torch.randn(20, classes, generator=torch.Generator().manual_seed(0))
    assert score_of(logits, torch.arange(20) % classes).top5_error == 0


def test_a_score_is_scikit_learns():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 10)), rng.integers(0, 10, 200)
    measured = score_of(torch.from_numpy(logits).float(), torch.from_numpy(labels))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert measured.accuracy == pytest.approx(sklearn.metrics.accuracy_score(labels, logits.argmax(1)))
    assert measured.top1_error == pytest.approx(1 - measured.accuracy)
    assert measured.top5_error == pytest.approx(1 - sklearn.metrics.top_k_accuracy_score(labels, logits, k=5))
    assert measured.loss == pytest.approx(sklearn.metrics.log_loss(labels, probabilities), rel=1e-5)
    assert measured.n == 200
    assert Score(**measured.to_dict()) == measured
