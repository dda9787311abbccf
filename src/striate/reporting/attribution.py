"""Where the network looks, for a few telling images."""

from typing import Any

import torch
from torch import Tensor

from striate.errors import ArgumentError
from striate.explanation import evidence, showing
from striate.explanation.pictures import over
from striate.inspection.features import last_maps
from striate.reporting.subject import Subject

MOST = 4  # images
WORK = 10**12  # multiply-adds to spend: some seconds to a minute on a CPU core
PASSES = 2 * 3 * evidence.STEPS  # of an image: the trained network and the random one, forward and back


def attribution(subject: Subject) -> dict[str, Any] | None:
    """Grad-CAM and integrated gradients of the surest right answers and the surest mistakes."""
    if subject.samples is None or subject.evaluation is None:
        return None
    positions = subject.telling(subject.affordable(WORK, 1, MOST, PASSES))
    pictures = subject.samples.split.images[torch.tensor(positions)]
    targets = subject.evaluation.predicted[positions]
    layer, no_cam = _last_maps(subject)
    ways = _ways(subject, pictures, targets, layer)
    rows = []
    for number, position in enumerate(positions):
        pixels, true, predicted = pictures[number].numpy(), subject.evaluation.labels[position], targets[number]
        rows.append(
            {
                "seen": over(pixels, "the image"),
                "true": subject.run.classes[int(true)],
                "predicted": subject.run.classes[int(predicted)],
                "right": bool(true == predicted),
                "probability": float(subject.evaluation.probabilities[position].max()),
                "ways": {name: showing.attribution(pixels, found[number]) for name, found in ways.items()},
            }
        )
    likeness = {name: _mean([each.correlation for each in found]) for name, found in ways.items()}
    return {"rows": rows, "layer": layer, "no_cam": no_cam, "likeness": likeness, "alike": evidence.ALIKE}


def _ways(
    subject: Subject, pictures: Tensor, targets: Tensor, layer: str | None
) -> dict[str, list[evidence.Attribution]]:
    inputs, black = subject.inputs(pictures), subject.inputs(torch.zeros_like(pictures[:1]))
    ways = {"Grad-CAM": evidence.cams(subject.model, inputs, targets, layer)} if layer else {}
    ways["integrated gradients"] = evidence.pixels_for(subject.model, inputs, targets, black)
    return ways


def _last_maps(subject: Subject) -> tuple[str | None, str | None]:
    """The last layer with maps, or why there is none."""
    try:
        return last_maps(subject.model, subject.shape), None
    except ArgumentError as error:
        return None, str(error)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
