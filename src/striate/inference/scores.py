"""Accuracy, errors and loss of logits against labels."""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.data import Split
from striate.inference.calibration import in_chunks
from striate.inference.predictor import logits_of
from striate.preprocess import Preprocess
from striate.units import finite


@dataclass(frozen=True)
class Score:
    """Means over n images: fractions in [0, 1], the loss being cross-entropy in nats.

    >>> found = score_of(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    >>> found.accuracy, found.top1_error, found.n
    (0.75, 0.25, 4)
    """

    accuracy: float
    top1_error: float
    top5_error: float
    loss: float
    n: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Plain values for JSON; a loss that is not finite is `None`."""
        return {**asdict(self), "loss": finite(self.loss)}


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Rank of the right class among all, 0 being the best: int64 (N,).

    Equal logits rank by class number, and a logit that is not a number ranks last, so that a broken or constant model
    never looks good.

    >>> ranks(torch.tensor([[0.0, 2.0, 1.0], [5.0, 0.0, 1.0]]), torch.tensor([1, 1]))
    tensor([0, 2])
    """
    logits = logits.nan_to_num(nan=-torch.inf)
    right = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1])
    ahead = (logits > right) | ((logits == right) & (classes[None, :] < labels[:, None]))
    return ahead.sum(dim=1)


def score_of(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> Score:
    """Score logits, float (N, classes), against labels, int64 (N,), N at least 1.

    Top-five error counts as ILSVRC does: an image is right if its class is among the five most probable.

    Args:
        temperature: what the logits are divided by first.

    >>> score_of(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([1, 0])).accuracy
    0.5
    """
    places, losses = [], []
    for some, theirs in in_chunks(logits, labels):
        scaled = some.double() / temperature
        places.append(ranks(scaled, theirs))
        losses.append(F.cross_entropy(scaled, theirs, reduction="none"))
    place = torch.cat(places)
    top1_error = float((place > 0).double().mean())
    return Score(
        accuracy=1 - top1_error,
        top1_error=top1_error,
        top5_error=float((place >= 5).double().mean()),
        loss=float(torch.cat(losses).mean()),
        n=len(labels),
    )


def score(
    model: nn.Module, split: Split, preprocess: Preprocess, device: torch.device | str = "cpu", tta: str = "none"
) -> Score:
    """Score a model on a split; the arguments are those of `logits_of`.

    >>> score(run.model(), data.test, run.preprocess).n
    359
    """
    return score_of(logits_of(model, split.images, preprocess, device, tta=tta), split.labels)
