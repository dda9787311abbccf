"""Scores against slow counting and scikit-learn, for models that tie, fail or know few classes."""

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import quick
from torch import nn

from striate.augmentation import views
from striate.data import Split
from striate.errors import ArgumentError
from striate.preprocess import Preprocess
from striate.training import Score, logits_of, ranks, score, score_of

some = st.sampled_from([0.0, 0.5, 1.0, -3.0, 7.0, math.nan, math.inf, -math.inf])
tables = st.integers(1, 9).flatmap(
    lambda classes: st.lists(
        st.tuples(st.lists(some, min_size=classes, max_size=classes), st.integers(0, classes - 1)),
        min_size=1,
        max_size=8,
    )
)
PREPROCESS = Preprocess(4, 5, 1, mean=(0.5,), std=(0.25,))


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


class Watched(nn.Module):
    """A dropout and a linear layer, and a note of the batches they see."""

    def __init__(self):
        super().__init__()
        self.dropout, self.linear, self.seen = nn.Dropout(0.5), nn.Linear(20, 3), []
        weights = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
        self.linear.weight.data, self.linear.bias.data = weights, torch.zeros(3)

    def forward(self, x):
        self.seen.append((len(x), self.training, torch.is_grad_enabled()))
        return self.linear(self.dropout(x.flatten(1)))


def split(count):
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 256, (count, 4, 5, 1), dtype=np.uint8))
    return Split(images, torch.from_numpy(rng.integers(0, 3, count)))


def test_logits_are_the_models_in_evaluation_whatever_the_batch_size():
    model, data = Watched(), split(7)
    pixels = (data.images.numpy().reshape(7, 20) / 255 - 0.5) / 0.25
    expected = pixels @ model.linear.weight.detach().numpy().T
    for batch_size, lengths in ((3, [3, 3, 1]), (7, [7]), (100, [7])):
        model.seen.clear()
        logits = logits_of(model, data.images, PREPROCESS, batch_size=batch_size)
        np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-4)
        assert logits.dtype == torch.float32
        assert model.seen == [(length, False, False) for length in lengths]
    assert score(model, data, PREPROCESS) == score_of(logits, data.labels)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_given_back_even_after_a_failure(training):
    model = Watched().train(training)
    logits_of(model, split(3).images, PREPROCESS)
    assert all(module.training == training for module in model.modules())
    with pytest.raises(RuntimeError):
        logits_of(model, torch.zeros(2, 9, 9, 1, dtype=torch.uint8), PREPROCESS)
    assert all(module.training == training for module in model.modules())


@pytest.mark.parametrize("tta", ["flip", "flip,shifts"])
def test_probabilities_of_all_views_are_averaged(tta):
    model, data = Watched(), split(7)
    averaged = logits_of(model, data.images, PREPROCESS, batch_size=3, tta=tta)
    expected = 0
    for weight, view in views(tta)(data.images):
        expected = expected + weight * logits_of(model, view, PREPROCESS).double().softmax(dim=1)
    np.testing.assert_allclose(averaged.exp().numpy(), expected.numpy(), atol=1e-6)
    assert averaged.dtype == torch.float32
    assert averaged.device.type == "cpu"
    np.testing.assert_allclose(averaged.softmax(dim=1).sum(dim=1), 1, atol=1e-6)


def test_without_views_logits_are_untouched_and_an_impossible_class_stays_finite():
    model, data = Watched(), split(3)
    assert torch.equal(logits_of(model, data.images, PREPROCESS, tta="none"), logits_of(model, data.images, PREPROCESS))
    model.linear.bias.data = torch.tensor([0.0, 1000.0, -1000.0])
    averaged = logits_of(model, data.images, PREPROCESS, tta="flip")
    assert averaged.isfinite().all()
    with pytest.raises(ArgumentError, match="unknown test-time augmentation 'flips'"):
        logits_of(model, data.images, PREPROCESS, tta="flips")
    assert model.training
