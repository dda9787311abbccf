"""How well a model does on labelled images: the numbers that validation, results and evaluation share."""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.augmentation import views
from striate.data import Split
from striate.data.lazy import Images
from striate.preprocess import Preprocess


@dataclass(frozen=True)
class Score:
    """Means over n images: fractions in [0, 1], the loss being cross-entropy in nats."""

    accuracy: float
    top1_error: float
    top5_error: float
    loss: float
    n: int

    def to_dict(self) -> dict[str, float | int]:
        """Plain values for JSON."""
        return asdict(self)


def logits_of(
    model: nn.Module,
    images: Images,
    preprocess: Preprocess,
    device: torch.device | str = "cpu",
    batch_size: int = 256,
    tta: str = "none",
) -> Tensor:
    """What a model says of images, in evaluation mode; the mode is given back afterwards.

    Args:
        model: on `device`.
        images: uint8 (N, H, W, C) of the size that `preprocess` says.
        tta: test-time augmentation, see `augmentation.views`. The probabilities that the model gives to an image's
            views are averaged, as Krizhevsky et al. (2012, section 4.1) do, and their logarithms returned.

    Returns:
        float32 (N, classes), on the CPU.

    Raises:
        ArgumentError: for an unknown test-time augmentation.
    """
    views_of, training = views(tta), model.training
    model.eval()
    try:
        with torch.inference_mode():
            outputs = [
                _averaged([(weight, model(preprocess.normalize(view)).float()) for weight, view in views_of(chunk)])
                for chunk in (chunk.to(device) for chunk in images.split(batch_size))
            ]
    finally:
        model.train(training)
    return torch.cat(outputs)


def _averaged(seen: list[tuple[float, Tensor]]) -> Tensor:
    """The logarithm of the mean of the views' probabilities, on the CPU; of a single view its logits, untouched."""
    if len(seen) == 1:
        return seen[0][1].cpu()
    weighted = [logits.log_softmax(dim=1) + math.log(weight) for weight, logits in seen]
    return torch.stack(weighted).logsumexp(dim=0).cpu()


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """The place of the right class among all, 0 being the best: int64 (N,).

    Equal logits rank by class number, and a logit that is not a number ranks last, so that a broken or constant model
    never looks good.
    """
    logits = logits.nan_to_num(nan=-torch.inf)
    right = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1])
    ahead = (logits > right) | ((logits == right) & (classes[None, :] < labels[:, None]))
    return ahead.sum(dim=1)


def score_of(logits: Tensor, labels: Tensor) -> Score:
    """Score logits, float32 (N, classes), against labels, int64 (N,), N at least 1.

    Top-five error counts as ILSVRC does: an image is right if its class is among the five most probable.
    """
    place = ranks(logits, labels)
    top1_error = float((place > 0).double().mean())
    return Score(
        accuracy=1 - top1_error,
        top1_error=top1_error,
        top5_error=float((place >= 5).double().mean()),
        loss=float(F.cross_entropy(logits.double(), labels)),
        n=len(labels),
    )


def score(
    model: nn.Module, split: Split, preprocess: Preprocess, device: torch.device | str = "cpu", tta: str = "none"
) -> Score:
    """Score a model on a split; the arguments are those of `logits_of`."""
    return score_of(logits_of(model, split.images, preprocess, device, tta=tta), split.labels)
