"""What was found out about images, as values and pictures for templates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from striate.drawing import data_uri
from striate.explanation import evidence
from striate.explanation.examples import Example
from striate.explanation.pictures import heat, map_pictures, over
from striate.inspection import Field
from striate.inspection.tracing import Call


def attribution(pixels: np.ndarray, found: evidence.Attribution) -> dict[str, Any]:
    """An attribution over its image, uint8 (height, width, channels), with that of random weights."""
    return {
        "learned": over(pixels, "the trained network", heat(found.values)),
        "untrained": over(pixels, "random weights", heat(found.untrained)),
        "correlation": found.correlation,
        "empty": not bool(found.values.any()),
    }


def sights(model: nn.Module, images: Tensor, shown: Sequence[Call], pixels: np.ndarray) -> list[dict[str, Any]]:
    """What layers can see and what they listen to in `images`, drawn over an image."""
    found = evidence.sights(model, images, list(shown))
    return [{"layer": name, "sight": sight, "picture": _sight(pixels, sight)} for name, sight in found]


def maps(model: nn.Module, image: Tensor, shown: Sequence[Call]) -> list[dict[str, Any]]:
    """What layers make of an image, (1, channels, height, width)."""
    found = evidence.maps(model, image, list(shown))
    return [{"maps": each, "pictures": map_pictures(each.strongest)} for each in found]


def example(each: Example) -> dict[str, Any]:
    """An image with what is known of it."""
    return {"picture": data_uri(each.pixels), "label": each.label, "file": each.file, "value": each.value}


def framed(each: Example, field: Field | None) -> dict[str, Any]:
    """An image with a frame around what the excited unit sees of it."""
    frame = field.of(*each.place) if field and each.place and all(field.stride) else None
    return {**example(each), "picture": over(each.pixels, f"an image of class {each.label}", frame=frame)}


def _sight(pixels: np.ndarray, sight: evidence.Sight) -> str:
    """The image with the frame of what a layer's middle units can see and the heat of what they listen to."""
    height, width = pixels.shape[:2]
    top, left, bottom, right = sight.frame
    room = (_room(-top, bottom - height, height), _room(-left, right - width, width))
    label = f"field of {sight.effective.layer}"
    return over(pixels, label, heat(sight.effective.influence), sight.frame, room)


def _room(before: int, after: int, side: int) -> int:
    """Pixels to leave free around a side for a frame that goes beyond it, up to a quarter of the side."""
    return min(max(before, after, 0), side // 4)
