"""A network's last layer fitted to features: logistic regression, its regularisation chosen by cross-validation."""

import threading
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

FOLDS = 5
INVERSE_PENALTIES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)  # scikit-learn's C, for features of variance 1
USUAL = 1e-2  # where a class has too few images to choose
ITERATIONS = 300
CHOOSING = 2000  # images that choose the penalty


@dataclass(frozen=True)
class LinearHead:
    """A dense layer fitted to features.

    Args:
        weight, bias: float32 (classes, features) and (classes,).
        inverse_penalty: the chosen C of logistic regression; larger means less regularised.
        probabilities: of each image by a layer that was fitted without it, float64 (N, classes); `None` where a class
            has a single image.

    >>> layer = fitted_head([torch.tensor([[0.0], [0.1], [1.0], [1.1]])], torch.tensor([0, 0, 1, 1]), classes=2)
    >>> layer.weight.shape, layer.bias.shape
    (torch.Size([2, 1]), torch.Size([2]))
    """

    weight: Tensor
    bias: Tensor
    inverse_penalty: float
    probabilities: Tensor | None

    def mistakes(self, labels: Tensor) -> int | None:
        """Number of images that a layer fitted without them takes for another class; `None` if unknown."""
        return None if self.probabilities is None else int((self.probabilities.argmax(dim=1) != labels).sum())


def fitted_head(views: list[Tensor], labels: Tensor, classes: int, balanced: bool = False, seed: int = 0) -> LinearHead:
    """Fit a dense layer to features by multinomial logistic regression with an L2 penalty.

    The penalty is that of the smallest cross-entropy in five-fold cross-validation, in which all views of an image are
    in one fold; an image's cross-validated probabilities are those of its first view.

    Args:
        views: features of the same N images, float32 (N, features) each: of the images as they are, then of variations.
        labels: int64 (N,).
        classes: how many classes there are; each has an image at least.
        balanced: whether each class counts the same, however many images it has.
        seed: of the folds.

    >>> features, labels = torch.linspace(0, 1, 20)[:, None], torch.arange(20) // 10
    >>> layer = fitted_head([features], labels, classes=2)
    >>> (features @ layer.weight.T + layer.bias).argmax(1).equal(labels)
    True
    """
    scaled, mean, spread = _scaled(views)
    y = labels.numpy()
    probabilities, penalty = _cross_validated(scaled, y, classes, balanced, seed)
    model = _fit(scaled, y, penalty, balanced)
    coefficients, intercepts = _all_classes(model, classes)
    weight = torch.from_numpy(coefficients) / spread
    bias = torch.from_numpy(intercepts) - weight @ mean
    found = None if probabilities is None else torch.from_numpy(probabilities)
    return LinearHead(weight.float(), bias.float(), penalty, found)


def prepare_fitting() -> None:
    """Import in a thread what fitting needs, which takes a second, while the features are computed."""
    threading.Thread(target=import_module, args=("sklearn.linear_model",), name="striate-importing").start()


def cross_validated(features: Tensor, labels: Tensor, classes: int, seed: int = 0) -> Tensor | None:
    """Probabilities of each image by a layer that was fitted without it; see `fitted_head`.

    Returns:
        float64 (N, classes), or `None` where a class has a single image.

    >>> features, labels = torch.linspace(0, 1, 20)[:, None], torch.arange(20) // 10
    >>> cross_validated(features, labels, classes=2).shape
    torch.Size([20, 2])
    """
    scaled, _, _ = _scaled([features])
    probabilities, _ = _cross_validated(scaled, labels.numpy(), classes, False, seed)
    return None if probabilities is None else torch.from_numpy(probabilities)


def _scaled(views: list[Tensor]) -> tuple[np.ndarray, Tensor, Tensor]:
    """Standardise features, float32 (views, N, features); returns their mean and spread, too, float64 (features,)."""
    features = torch.stack(views).double()
    mean, spread = features.mean((0, 1)), features.std((0, 1), correction=0).clamp(min=1e-6)
    return ((features - mean) / spread).float().numpy(), mean, spread


def _cross_validated(
    scaled: np.ndarray, y: np.ndarray, classes: int, balanced: bool, seed: int
) -> tuple[np.ndarray | None, float]:
    """The probabilities of each image by a fit without it, and the penalty of the smallest cross-entropy.

    Of many images some choose the penalty.
    """
    folds = min(FOLDS, int(np.bincount(y, minlength=classes).min()))
    if folds < 2:
        return None, USUAL
    some = _some(y, seed) if len(y) > CHOOSING else np.arange(len(y))
    folds_of_some = min(folds, int(np.bincount(y[some], minlength=classes).min()))
    if folds_of_some < 2:
        return _foretold(scaled, y, classes, balanced, folds, seed, USUAL), USUAL
    best, penalty, least = None, USUAL, np.inf
    weights = len(y) / (classes * np.bincount(y, minlength=classes))[y[some]] if balanced else np.ones(len(some))
    for each in INVERSE_PENALTIES:
        found = _foretold(scaled[:, some], y[some], classes, balanced, folds_of_some, seed, each)
        right = found[np.arange(len(some)), y[some]]
        loss = -(np.log(np.maximum(right, 1e-12)) * weights).mean()
        if loss < least:
            best, penalty, least = found, each, loss
    if len(some) < len(y):
        best = _foretold(scaled, y, classes, balanced, folds, seed, penalty)
    return best, penalty


def _some(y: np.ndarray, seed: int) -> np.ndarray:
    """Positions of some images, of every class in its share, sorted."""
    from sklearn.model_selection import (
        StratifiedShuffleSplit,  # here, as the import takes a second, see `prepare_fitting`
    )

    (chosen, _), *_ = StratifiedShuffleSplit(1, train_size=CHOOSING, random_state=seed).split(y, y)
    return np.sort(chosen)


def _foretold(
    scaled: np.ndarray, y: np.ndarray, classes: int, balanced: bool, folds: int, seed: int, penalty: float
) -> np.ndarray:
    """The probabilities of each image's first view by a fit without the image: float64 (N, classes)."""
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(y), classes))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y):
        found[test] = _fit(scaled[:, train], y[train], penalty, balanced).predict_proba(scaled[0, test])
    return found


def _fit(scaled: np.ndarray, y: np.ndarray, penalty: float, balanced: bool) -> "LogisticRegression":
    """Fit to all views, (views, N, features); each view of an image has an equal share of its weight."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    count = len(scaled)
    model = LogisticRegression(C=penalty, max_iter=ITERATIONS, class_weight="balanced" if balanced else None)
    # On several threads the many small products take a hundred times as long, and their sums differ.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly separable classes: near enough after so many steps
        model.fit(scaled.reshape(-1, scaled.shape[2]), np.tile(y, count), np.full(count * len(y), 1 / count))
    return model


def _all_classes(model: "LogisticRegression", classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of every class; of two, scikit-learn has the difference alone."""
    if classes > 2:
        return model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    halves = np.array([[-0.5], [0.5]])
    return halves * model.coef_, (halves * model.intercept_)[:, 0]
