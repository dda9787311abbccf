"""Pictures for pages: images with heat maps and frames, feature maps, filters, and the most confident mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from PIL import Image
from torch import Tensor, nn

from striate.data import Split
from striate.drawing import data_uri
from striate.evaluation.evaluation import Evaluation
from striate.inspection import Field, evidence
from striate.inspection.examples import Example
from striate.inspection.structure.trace import Call
from striate.preprocess import Preprocess

WARM, COLD = (234, 88, 12), (37, 99, 235)  # colours of positive and negative values
DIMMED = 0.55  # opacity of images under heat maps
MOST_FILTERS = 64
MOST_FILTER_CELLS = 2**18  # of all filters together, so that a dense layer on large images does not fill megabytes
LARGEST = 96  # pixels of a feature map's longer side; larger ones are made smaller


def heat(values: Tensor, strongest: float | None = None) -> str:
    """Heat map to lay over an image: warm where values are positive, cold where negative, transparent where 0.

    Args:
        values: (height, width).
        strongest: the absolute value that is opaque; the largest one if not given.
    """
    return data_uri(_heat(values, strongest))


def _heat(values: Tensor, strongest: float | None = None) -> np.ndarray:
    """The pixels of a heat map: uint8 (height, width, 4)."""
    numbers = values.detach().cpu().double().numpy()
    scale = strongest or float(np.abs(numbers).max()) or 1.0
    pixels = np.empty((*numbers.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(numbers[..., None] >= 0, WARM, COLD)
    pixels[..., 3] = np.rint(np.clip(np.abs(numbers) / scale, 0, 1) * 235)
    return pixels


def blended(pixels: np.ndarray, values: Tensor) -> np.ndarray:
    """An image, uint8 (height, width, channels), dimmed, under the heat map of (height, width): (height, width, 3)."""
    hot = _heat(values)
    opacity = hot[..., 3:] / 255
    dimmed = DIMMED * pixels + (1 - DIMMED) * 255
    return np.rint(opacity * hot[..., :3] + (1 - opacity) * dimmed).astype(np.uint8)


def feature_map_pictures(feature_maps: Tensor) -> list[str]:
    """Feature maps of one layer, (channels, height, width), on one scale: smallest value black, largest white."""
    values = feature_maps.detach().cpu().float()
    low, high = float(values.min()), float(values.max())
    pixels = ((values - low) / ((high - low) or 1.0) * 255).round().numpy().astype(np.uint8)
    return [data_uri(_small(each)[:, :, None]) for each in pixels]


def over(
    pixels: np.ndarray,
    label: str,
    layer: str | None = None,
    frame: tuple[int, int, int, int] | None = None,
    margin: tuple[int, int] = (0, 0),
) -> Markup:
    """An image with an optional heat map and frame, as SVG that scales with its place on the page.

    Args:
        pixels: uint8 (height, width, channels).
        label: description for screen readers.
        layer: from `heat`; the image is then dimmed.
        frame: a rectangle: first row, first column, first row after, first column after.
        margin: rows and columns to leave free around the image, for a frame that is larger.
    """
    height, width = pixels.shape[:2]
    down, right = margin
    kind = "fine" if max(height, width) > LARGEST else "coarse"
    size = f'width="{width}" height="{height}" preserveAspectRatio="none" class="{kind}"'
    dimmed = f' opacity="{DIMMED:g}"' if layer else ""
    parts = [f'<image href="{data_uri(pixels)}" {size}{dimmed}/>']
    parts += [f'<image href="{layer}" {size}/>'] if layer else []
    if frame:
        top, left, bottom, end = frame
        parts.append(f'<rect x="{left}" y="{top}" width="{end - left}" height="{bottom - top}" class="frame"/>')
    box = f"{-right} {-down} {width + 2 * right} {height + 2 * down}"
    return Markup(f'<svg class="over" viewBox="{box}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')


def _small(values: np.ndarray) -> np.ndarray:
    """A feature map, uint8 (height, width), reduced to at most `LARGEST` pixels on its longer side."""
    longer = max(values.shape)
    if longer <= LARGEST:
        return values
    size = (round(values.shape[1] * LARGEST / longer), round(values.shape[0] * LARGEST / longer))
    return np.asarray(Image.fromarray(values).resize((max(size[0], 1), max(size[1], 1)), Image.Resampling.BOX))


def attribution(pixels: np.ndarray, found: evidence.Attribution) -> dict[str, Any]:
    """An attribution over its image, uint8 (height, width, channels), and the same with random weights."""
    return {
        "learned": over(pixels, "the trained network", heat(found.values)),
        "untrained": over(pixels, "random weights", heat(found.untrained)),
        "correlation": found.correlation,
        "empty": not bool(found.values.any()),
    }


def unit_fields(model: nn.Module, images: Tensor, shown: Sequence[Call], pixels: np.ndarray) -> list[dict[str, Any]]:
    """Receptive fields of layers, theoretical and effective in `images`, drawn over an image."""
    found = evidence.unit_fields(model, images, list(shown))
    return [{"layer": name, "fields": fields, "picture": _fields_picture(pixels, fields)} for name, fields in found]


def feature_maps(model: nn.Module, image: Tensor, shown: Sequence[Call]) -> list[dict[str, Any]]:
    """Feature maps of layers for an image, (1, channels, height, width)."""
    found = evidence.feature_maps(model, image, list(shown))
    return [{"feature_maps": each, "pictures": feature_map_pictures(each.strongest)} for each in found]


def example(each: Example) -> dict[str, Any]:
    """An example image with its label, file and value."""
    return {"picture": data_uri(each.pixels), "label": each.label, "file": each.file, "value": each.value}


def framed(each: Example, field: Field | None) -> dict[str, Any]:
    """An example image with a frame around the receptive field of the excited unit."""
    frame = field.of(*each.place) if field and each.place and all(field.stride) else None
    return {**example(each), "picture": over(each.pixels, f"an image of class {each.label}", frame=frame)}


def _fields_picture(pixels: np.ndarray, fields: evidence.UnitFields) -> str:
    """The image with the frame of a layer's theoretical field and the heat map of its effective field."""
    height, width = pixels.shape[:2]
    top, left, bottom, right = fields.frame
    margin = (_margin(-top, bottom - height, height), _margin(-left, right - width, width))
    label = f"field of {fields.effective.layer}"
    return over(pixels, label, heat(fields.effective.influence), fields.frame, margin)


def _margin(before: int, after: int, side: int) -> int:
    """Margin in pixels for a frame that goes beyond the image, up to a quarter of the side."""
    return min(max(before, after, 0), side // 4)


@dataclass(frozen=True)
class Mistake:
    """A misclassified image: its picture, its true class, and the predicted class with its probability."""

    picture: str
    true: str
    predicted: str
    probability: float
    file: str


def most_confident_mistakes(evaluation: Evaluation, split: Split, most: int = 24) -> list[Mistake]:
    """The most confident mistakes, most confident first.

    Args:
        evaluation: of this split.
        split: the images, in the evaluation's order.
        most: how many at most.
    """
    confidence = evaluation.probabilities.max(dim=1).values
    confidence[evaluation.predicted == evaluation.labels] = -1
    order = confidence.sort(descending=True, stable=True).indices[:most].tolist()
    return [
        Mistake(
            picture=data_uri(split.images[index].numpy()),
            true=evaluation.classes[int(evaluation.labels[index])],
            predicted=evaluation.classes[int(evaluation.predicted[index])],
            probability=float(confidence[index]),
            file=split.files[index] if split.files else "",
        )
        for index in order
        if confidence[index] >= 0
    ]


def first_filters(model: nn.Module, preprocess: Preprocess) -> list[str]:
    """Pictures of the first layer's filters: black is the most negative weight, mid-grey 0, white the most positive.

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
        return [filter_picture(each) for each in filters[:most].detach().float().cpu()]
    return []


def filter_picture(weight: Tensor) -> str:
    """One filter, (C, h, w), with its largest absolute weight at full contrast."""
    scaled = weight / weight.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return data_uri(((scaled + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
