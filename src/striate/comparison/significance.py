"""Statistics of differences between models: intervals, a paired test, and a correction for testing many pairs.

Two things make one model look better than another by chance: which images happened to be in the test set, and which
seeds the trainings happened to have. Dietterich (1998) names both among the sources of variation that a test should
account for; another, the choice of the training images, is not accounted for here, since all models learn from the
same.

The images are accounted for by the exact sign-flip test: if two models are equally good, then for every image either
was as likely as the other to do better on it, so all signs of the per-image differences are equally probable (Fisher
1935, section 21). With one training each it is the exact form of McNemar's test (1947). The seeds are accounted for by
a t test on the mean difference, whose variance is that over the images plus, for each model, that over its trainings,
with degrees of freedom by Satterthwaite (1946). What images and seeds do together is in both variances and so counts
twice: the test errs on the side of "no difference". A difference has to pass both tests; its p-value is the larger
one.

Where a model was trained once, nothing is known about the effect of its seed, and only the images are accounted for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.errors import ArgumentError

CONFIDENCE = 0.95

Correct = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """Difference in accuracy of two models, with its interval and p-value.

    Args:
        mean: difference of their accuracies, in [-1, 1].
        interval: its 95 % confidence interval, if this pair is looked at alone.
        p: the probability of a difference at least so large between equally good models, before any correction.
        seeds: whether the choice of seeds is accounted for, or only that of the images.

    >>> two = {"trained": run.model(), "untrained": run.fresh_model()}
    >>> difference = striate.compare(two, data, preprocess=run.preprocess).pairs[0].difference
    >>> difference.mean > 0, difference.p < 0.05, difference.seeds
    (True, True, False)
    """

    mean: float
    interval: tuple[float, float]
    p: float
    seeds: bool


def mean_interval(values: Sequence[float], step: float = 0.0, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Confidence interval of the mean of the distribution that the values were drawn from (Student 1908).

    Args:
        values: at least two.
        step: what they are multiples of, as accuracies on n images are of 1/n. Rounding to it hides a variance of
            step²/12 (Sheppard 1898), which is added: equal values don't make a mean certain.
        confidence: in (0, 1).

    Raises:
        ArgumentError: for fewer values, or another confidence.
    """
    if len(values) < 2 or not 0 < confidence < 1:
        raise ArgumentError(f"no interval for the mean of {len(values)} values at confidence {confidence}.")
    mean, variance = float(np.mean(values)), float(np.var(values, ddof=1)) + step**2 / 12
    half = _t_quantile((1 + confidence) / 2, len(values) - 1) * math.sqrt(variance / len(values))
    return mean - half, mean + half


def paired(first: Correct, second: Correct) -> Difference:
    """Compare two models on the same images.

    Args:
        first, second: bool (seeds, images), whether each training of the model was right on each image; the images are
            the same in the same order, the number of seeds may differ.

    Raises:
        ArgumentError: unless both have at least one training and the same number of images, at least 1.
    """
    if first.ndim != 2 or second.ndim != 2 or 0 in (*first.shape, *second.shape) or first.shape[1] != second.shape[1]:
        raise ArgumentError(f"results of shapes {first.shape} and {second.shape}: expected (seeds, the same images).")
    images = first.shape[1]
    # Whole numbers: the differences of the mean correctness, times both numbers of seeds.
    counts = first.sum(axis=0) * len(second) - second.sum(axis=0) * len(first)
    mean = float(counts.mean()) / (len(first) * len(second))
    variance = _image_variance(counts / (len(first) * len(second)))
    parts = [(variance, max(images - 1, 1))]
    several_seeds = len(first) > 1 and len(second) > 1
    if several_seeds:
        parts += [(float(each.mean(axis=1).var(ddof=1)) / len(each), len(each) - 1) for each in (first, second)]
    total = sum(part for part, _ in parts)
    freedom = total**2 / sum(part**2 / degrees for part, degrees in parts)
    half = _t_quantile((1 + CONFIDENCE) / 2, freedom) * math.sqrt(total)
    p = sign_flip(counts)
    if several_seeds:
        p = max(p, _t_two_sided(mean / math.sqrt(total), freedom))
    return Difference(mean, (max(-1.0, mean - half), min(1.0, mean + half)), p, several_seeds)


def sign_flip(differences: NDArray[np.int_]) -> float:
    """The two-sided p-value of whole-numbered paired differences under the exact sign-flip test.

    The null distribution of their sum is the sum, over the magnitudes m that occur c times, of m (2 B − c), with B from
    the binomial distribution of c throws and chance one half; the convolution of these is computed in full.
    """
    magnitudes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(magnitudes):
        return 1.0
    unit = int(np.gcd.reduce(magnitudes))
    magnitudes //= unit
    distribution = np.ones(1)  # at position k: the probability of the sum 2 k − (all magnitudes so far)
    for magnitude, count in zip(magnitudes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(magnitude * count + 1)
        spread[::magnitude] = _binomial(count)
        distribution = np.convolve(distribution, spread)
    most = int((magnitudes * counts).sum())
    sums = 2 * np.arange(most + 1) - most
    return min(1.0, float(distribution[np.abs(sums) >= abs(int(differences.sum())) // unit].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for how many there are, in the order given (Holm 1979).

    Calling those up to 0.05 significant keeps the chance of even one false call among all of them at 5 %.
    """
    order = sorted(range(len(p_values)), key=lambda position: p_values[position])
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[position]))
        corrected[position] = least
    return corrected


def _image_variance(differences: NDArray[np.float64]) -> float:
    """Variance of the mean over the images, with half an image added to each of the four ways to be right and wrong.

    That keeps the interval from shrinking to nothing where two models agree on every image (Agresti and Min 2005).
    """
    n = len(differences) + 2
    return float((differences @ differences + 1) / n - (differences.sum() / n) ** 2) / n


def _binomial(count: int) -> NDArray[np.float64]:
    """The probabilities of 0 … count heads in as many throws of a fair coin."""
    from scipy import special

    heads = np.arange(count + 1)
    logs = special.gammaln(count + 1) - special.gammaln(heads + 1) - special.gammaln(count - heads + 1)
    return np.exp(logs - count * math.log(2))


def _t_quantile(probability: float, freedom: float) -> float:
    from scipy import special

    return float(special.stdtrit(freedom, probability))


def _t_two_sided(t: float, freedom: float) -> float:
    from scipy import special

    return float(2 * special.stdtr(freedom, -abs(t)))
