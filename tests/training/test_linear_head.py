"""The last layer fitted to features: against scikit-learn's own probabilities, and what is out of sample."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from striate.training.linear_head import cross_validated, fitted_head


def clouds(classes: int, count: int, seed: int = 0, spread: float = 1.5) -> tuple[Tensor, Tensor]:
    """Points around a centre for each class, on axes of very different length: features (N, 6) and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(classes * count) % classes
    centres = rng.normal(size=(classes, 6)) * 2
    points = (centres[labels] + rng.normal(size=(len(labels), 6)) * spread) * np.array([1, 100, 0.01, 5, 1, 1]) + 7
    return torch.from_numpy(points).float(), torch.from_numpy(labels)


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_are_those_of_logistic_regression_on_standardised_features(classes: int):
    features, labels = clouds(classes, 30)
    head = fitted_head([features], labels, classes)
    scaled = ((features - features.mean(0)) / features.std(0, correction=0)).numpy()
    model = LogisticRegression(C=head.inverse_penalty, max_iter=300).fit(scaled, labels)
    ours = (features @ head.weight.T + head.bias).softmax(dim=1).numpy()
    assert head.weight.shape == (classes, 6)
    assert np.allclose(ours, model.predict_proba(scaled), atol=1e-4)


def test_cross_validated_probabilities_know_nothing_of_their_own_label():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(80, 40, generator=generator)
    labels = torch.arange(80) % 2
    head = fitted_head([noise], labels, 2)
    inside = ((noise @ head.weight.T + head.bias).argmax(1) == labels).float().mean()
    assert inside > 0.75
    assert 20 < head.mistakes(labels) < 60, "labels of noise can't be foretold"
    assert torch.equal(cross_validated(noise, labels, 2), head.probabilities)


def test_more_noise_asks_for_a_stronger_penalty():
    clear, labels = clouds(3, 60, spread=0.3)
    blurred, _ = clouds(3, 60, spread=6.0)
    assert fitted_head([blurred], labels, 3).inverse_penalty < fitted_head([clear], labels, 3).inverse_penalty


def test_views_of_an_image_stay_in_one_fold_and_count_as_one_image():
    features, labels = clouds(2, 25, spread=4.0)
    once, twice = fitted_head([features], labels, 2), fitted_head([features, features], labels, 2)
    assert torch.allclose(once.probabilities, twice.probabilities, atol=1e-3)
    assert torch.allclose(once.weight, twice.weight, rtol=2e-2, atol=1e-4)


def test_a_class_with_a_single_image_is_fitted_without_cross_validation():
    features, _ = clouds(2, 3)
    few = torch.cat([features[:1], features[1::2]]), torch.tensor([0, 1, 1, 1])
    head = fitted_head([few[0]], few[1], 2)
    assert head.probabilities is None
    assert head.mistakes(few[1]) is None
    assert torch.isfinite(head.weight).all()


def test_balanced_classes_count_the_same():
    features, labels = clouds(2, 200, spread=6.0)
    chosen = torch.cat([torch.nonzero(labels == 0)[:20, 0], torch.nonzero(labels == 1)[:, 0]])
    features, labels = features[chosen], labels[chosen]
    usual, balanced = (fitted_head([features], labels, 2, each) for each in (False, True))

    def recall(head):
        return ((features @ head.weight.T + head.bias).argmax(1) == labels)[labels == 0].float().mean()

    assert recall(balanced) > recall(usual)
