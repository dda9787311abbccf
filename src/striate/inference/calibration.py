"""Calibration: a temperature that makes probabilities right as often as they say, and sets that hold the right class.

Both are fitted to logits of labelled images that the network was not trained on. Logits of averaged views are the
logarithms of mean probabilities: what is averaged is calibrated (Rahaman and Thiery 2021, "pool, then calibrate").
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, TypeAdapter
from torch import Tensor

from striate.errors import ArgumentError

LEVELS = range(50, 100)  # coverages of prediction sets, in percent
FREE_CLASSES, PENALTY = 5, 0.01  # RAPS: what each class beyond the fifth adds to its score
CONFIDENCE = 0.9  # that sets cover what they should, over draws of the images
LARGEST = 100.0  # of temperatures, and its inverse the smallest
_AT_ONCE = 2**20  # logits: double precision of all of ImageNet's would take half a gigabyte


@dataclass(frozen=True)
class Calibration:
    """Conversion of logits to probabilities and prediction sets; `Calibration()` is that of a network never calibrated.

    Args:
        temperature: what logits are divided by before softmax (Guo et al. 2017); the order of the classes stays.
        images: how many images it was fitted to; 0 for none.
        source: which images these are.
        quantiles: for each coverage in percent, the largest score of a class in a set; `None` where the images are too
            few for it, and a set holds all classes.

    >>> Calibration(temperature=2.0, images=500).probabilities(torch.tensor([[2.0, 0.0]]))
    tensor([[0.7311, 0.2689]], dtype=torch.float64)
    >>> Calibration().probabilities(torch.tensor([[2.0, 0.0]]))
    tensor([[0.8808, 0.1192]], dtype=torch.float64)
    """

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    images: Annotated[int, Field(ge=0)] = 0
    source: str = ""
    quantiles: Mapping[int, Annotated[float, Field(ge=0, allow_inf_nan=False)] | None] = field(default_factory=dict)

    @classmethod
    def fit(cls, logits: Tensor, labels: Tensor, source: str) -> "Calibration":
        """Fit to logits of images that the network was not trained on.

        The temperature is that of the smallest cross-entropy, with log T ~ N(0, 1) before the first image: a few
        images that are all right don't ask for certainty. The quantiles are of the scores of the right classes (split
        conformal prediction), each so high that in 90 % of draws of such images, and not in half of them, sets cover
        what they should (Vovk 2012, proposition 2a).

        Args:
            logits: float (N, classes).
            labels: int64 (N,).
            source: which images these are, for the reader.

        Returns:
            A `Calibration()` without any image if there are none, or a logit is not finite.
        """
        if not len(labels) or not bool(logits.isfinite().all()):
            return cls()
        temperature = _temperature(logits, labels)
        scores = [_score_of_right(some, theirs, temperature) for some, theirs in in_chunks(logits, labels)]
        right = torch.cat(scores).sort().values.tolist()
        ranks = {level: _rank(len(right), level / 100) for level in LEVELS}
        quantiles = {level: right[rank] if rank < len(right) else None for level, rank in ranks.items()}
        return cls(temperature, len(right), source, quantiles)

    def scaled(self, logits: Tensor) -> Tensor:
        """Logits divided by the temperature: float64."""
        return logits.double() / self.temperature

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes: float64, of the shape of the logits, (…, classes)."""
        return self.scaled(logits).softmax(dim=-1)

    def sets(self, logits: Tensor, coverage: float = 0.95) -> list[list[int]]:
        """The classes of each image that hold the right one in a share of images like those it was fitted to.

        Most probable first; the first is in every set. The score of a class is the probability of all that are more
        probable, plus `PENALTY` for each place beyond `FREE_CLASSES`: deterministic RAPS (Angelopoulos et al. 2021),
        and up to five classes APS (Romano et al. 2020). Sets can't be smaller than one class: of a network that is
        right more often than `coverage`, they hold the right class as often as it is right.

        Args:
            logits: float (N, classes).
            coverage: a share in [0.5, 0.99], rounded up to the next percent.

        Raises:
            ArgumentError: for another coverage, or if nothing was calibrated.
        """
        level = level_of(coverage)
        if not self.images:
            raise ArgumentError("coverage needs a calibrated network: this one was not calibrated on held-out images.")
        quantile = self.quantiles.get(level)
        found = []
        for (some,) in in_chunks(logits):
            order, scores = _ranked(some, self.temperature)
            sizes = (scores <= (math.inf if quantile is None else quantile)).sum(dim=1).tolist()
            found += [classes[:size] for classes, size in zip(order.tolist(), sizes, strict=True)]
        return found

    @classmethod
    def from_dict(cls, values: Any) -> "Calibration":
        """Make one of what `to_dict` gave and JSON kept.

        Raises:
            ValueError: for anything else.
        """
        return _ADAPTER.validate_json(json.dumps(values), strict=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "temperature": self.temperature,
            "images": self.images,
            "source": self.source,
            "quantiles": {str(level): score for level, score in self.quantiles.items()},
        }


_ADAPTER = TypeAdapter(Calibration)
#: The calibration of a network without one: probabilities are the softmax of its logits.
#:
#: >>> UNCALIBRATED.probabilities(torch.zeros(1, 4))
#: tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
UNCALIBRATED = Calibration()


def level_of(coverage: float) -> int:
    """A coverage in whole percent, rounded up.

    Raises:
        ArgumentError: unless it is in [0.5, 0.99].
    """
    level = math.ceil(round(100 * coverage, 6)) if math.isfinite(coverage) else 0
    if level not in LEVELS:
        raise ArgumentError(f"coverage={coverage}: expected a share from 0.5 to 0.99, such as 0.95.")
    return level


def in_chunks(logits: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some rows after others of (N, classes) and of tensors (N, …), so few that what is made of them stays small."""
    rows = max(1, _AT_ONCE // logits.shape[1])
    return zip(logits.split(rows), *(each.split(rows) for each in others), strict=True)


def best_class(logits: Tensor) -> Tensor:
    """Each image's most probable class, of equal ones that with the lowest number: int64 (N,).

    >>> best_class(torch.tensor([[0.0, 2.0, 2.0]]))
    tensor([1])
    """
    return torch.cat([best_first(some)[:, 0] for (some,) in in_chunks(logits)])


def best_first(logits: Tensor) -> Tensor:
    """Each image's classes, most probable first and equal ones by number: int64 (N, classes).

    >>> best_first(torch.tensor([[0.0, 2.0, 1.0]]))
    tensor([[1, 2, 0]])
    """
    return logits.nan_to_num(nan=-torch.inf).sort(dim=1, descending=True, stable=True).indices


def _temperature(logits: Tensor, labels: Tensor) -> float:
    from scipy.optimize import minimize_scalar  # only who calibrates pays for the import

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        parts = (F.cross_entropy(some.double() / temperature, theirs, reduction="sum") for some, theirs in chunks)
        return float(sum(parts)) + log_temperature**2 / 2

    chunks = list(in_chunks(logits, labels))
    bound = math.log(LARGEST)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))


def _rank(n: int, coverage: float) -> int:
    """The place, from 0, of the smallest of n sorted scores that covers so much with `CONFIDENCE`; n if there is none.

    What the score at place k covers is distributed as Beta(k + 1, n − k), which is above `coverage` as often as at most
    k of n draws fall into it.
    """
    from scipy.special import bdtr

    return int(np.searchsorted(bdtr(np.arange(n), n, coverage), CONFIDENCE))


def _score_of_right(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    order, scores = _ranked(logits, temperature)
    return scores[order == labels[:, None]]


def _ranked(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Each image's classes, most probable first, int64 (N, classes), and their scores, float64 (N, classes)."""
    order = best_first(logits)
    ranked = (logits.double() / temperature).softmax(dim=1).gather(1, order)
    before = F.pad(ranked.cumsum(dim=1)[:, :-1], (1, 0))  # the best class has 0 exactly, and so is in every set
    penalty = PENALTY * (torch.arange(logits.shape[1]) + 1 - FREE_CLASSES).clamp(min=0).double()
    return order, before + penalty
