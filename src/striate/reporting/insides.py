"""What the units of a network see, what they make of an image, and what excites them."""

from typing import Any

import torch

from striate.explanation import evidence, showing
from striate.explanation.examples import Examples
from striate.explanation.stages import stages
from striate.inspection import receptive_fields
from striate.inspection.features import last_maps
from striate.inspection.subject import like
from striate.reporting.subject import Subject

UNITS, EXCITING = 4, 6  # units of the last layer with maps, and images for each
LOOKED_AT = 1000  # images, at most, among which the exciting ones are
WORK = 10**12  # multiply-adds to spend on these images: some seconds to a minute on a CPU core
FIELD_WORK = 3 * 10**10  # and on the effective fields of one layer


def insides(subject: Subject) -> dict[str, Any] | None:
    """Fields drawn over an image, its feature maps layer by layer, and the images that excite units most."""
    if subject.samples is None:
        return None
    layer = last_maps(subject.model, subject.shape)
    shown, split = stages(subject.model, subject.shape), subject.samples.split
    positions = torch.tensor(subject.telling(UNITS))
    pictures = split.images[positions]
    inputs = subject.inputs(pictures)
    units = dict.fromkeys(unit for each in inputs for unit in evidence.strongest(subject.model, each[None], layer)[:2])
    examples = Examples(
        subject.model, split, subject.run.classes, subject.run.preprocess,
        subject.affordable(WORK, 64, LOOKED_AT), like(subject.model).device, layer, list(units)[:UNITS],
    )  # fmt: skip
    measured = subject.inputs(examples.images[: subject.affordable(FIELD_WORK, 4, 32)])
    field = receptive_fields(subject.model, subject.shape).get(layer)
    return {
        "layer": layer,
        "sights": showing.sights(subject.model, measured, shown, pictures[0].numpy()),
        "samples": len(measured),
        "maps": showing.maps(subject.model, inputs[:1], shown),
        "most_maps": evidence.MOST_MAPS,
        "examples": examples,
        "excited": [
            (unit, [showing.framed(each, field) for each in examples.exciting(unit, EXCITING)])
            for unit in examples.units
        ],
        "shown": subject.run.classes[int(split.labels[positions[0]])],
    }
