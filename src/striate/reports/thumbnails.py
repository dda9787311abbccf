"""Pixels as images that a page can hold: mistakes and first-layer filters."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.data import Split
from striate.drawing import data_uri
from striate.evaluation.evaluation import Evaluation
from striate.preprocess import Preprocess

MOST_FILTERS = 64
MOST_FILTER_CELLS = 2**18  # of all filters together, so that a dense layer on large images does not fill megabytes


@dataclass(frozen=True)
class Mistake:
    """An image the model took for something else: its picture, what it is, what it was taken for, how surely."""

    picture: str
    true: str
    predicted: str
    probability: float
    file: str


def worst_mistakes(evaluation: Evaluation, split: Split, most: int = 24) -> list[Mistake]:
    """The mistakes the model was surest of, surest first.

    Args:
        evaluation: of this split.
        split: the images, in the evaluation's order.
        most: how many at most.
    """
    sureness = evaluation.probabilities.max(dim=1).values
    sureness[evaluation.predicted == evaluation.labels] = -1
    order = sureness.sort(descending=True, stable=True).indices[:most].tolist()
    return [
        Mistake(
            picture=data_uri(split.images[index].numpy()),
            true=evaluation.classes[int(evaluation.labels[index])],
            predicted=evaluation.classes[int(evaluation.predicted[index])],
            probability=float(sureness[index]),
            file=split.files[index] if split.files else "",
        )
        for index in order
        if sureness[index] >= 0
    ]


def first_filters(model: nn.Module, preprocess: Preprocess) -> list[str]:
    """The first layer's filters as pictures: black is the most negative weight, mid-grey 0, white the most positive.

    They are the first 4-D weight that sees the image's channels or, in a dense network, the first 2-D weight with one
    column a pixel. Empty if the model has neither.
    """
    height, width, channels = preprocess.height, preprocess.width, preprocess.channels
    for weight in model.parameters():
        if weight.ndim == 4 and weight.shape[1] in (1, channels):
            filters = weight
        elif weight.ndim == 2 and weight.shape[1] == channels * height * width:
            filters = weight.unflatten(1, (channels, height, width))
        else:
            continue
        most = max(16, min(MOST_FILTERS, MOST_FILTER_CELLS // filters[0, 0].numel()))
        return [_filter_picture(each) for each in filters[:most].detach().float().cpu()]
    return []


def _filter_picture(weight: Tensor) -> str:
    """One filter, (C, h, w), with its largest absolute weight at full contrast."""
    scaled = weight / weight.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return data_uri(((scaled + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
