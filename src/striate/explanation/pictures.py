"""Maps, heat and frames over an image, as pictures that a page can hold."""

import numpy as np
from markupsafe import Markup, escape
from PIL import Image
from torch import Tensor

from striate.drawing import data_uri

WARM, COLD = (234, 88, 12), (37, 99, 235)  # for and against
LARGEST = 96  # pixels of a map's longer side; larger ones are made smaller


def heat(values: Tensor, strongest: float | None = None) -> str:
    """Values as colour to lay over an image: warm where they are positive, cold where negative, clear where 0.

    Args:
        values: (height, width).
        strongest: the absolute value that is opaque; the largest one if not given.
    """
    numbers = values.detach().cpu().double().numpy()
    scale = strongest or float(np.abs(numbers).max()) or 1.0
    pixels = np.empty((*numbers.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(numbers[..., None] >= 0, WARM, COLD)
    pixels[..., 3] = np.rint(np.clip(np.abs(numbers) / scale, 0, 1) * 235)
    return data_uri(pixels)


def map_pictures(maps: Tensor) -> list[str]:
    """Maps of one layer, (maps, height, width), on one scale: the smallest value black, the largest white."""
    values = maps.detach().cpu().float()
    low, high = float(values.min()), float(values.max())
    pixels = ((values - low) / ((high - low) or 1.0) * 255).round().numpy().astype(np.uint8)
    return [data_uri(_small(each)[:, :, None]) for each in pixels]


def over(
    pixels: np.ndarray,
    label: str,
    layer: str | None = None,
    frame: tuple[int, int, int, int] | None = None,
    room: tuple[int, int] = (0, 0),
) -> Markup:
    """An image with what lies over it, as SVG that scales with its place on the page.

    Args:
        pixels: uint8 (height, width, channels).
        label: what it shows, for those who can't see it.
        layer: from `heat`; the image is then dimmed.
        frame: a rectangle: first row, first column, first row after, first column after.
        room: rows and columns to leave free around the image, for a frame that is larger.
    """
    height, width = pixels.shape[:2]
    down, right = room
    kind = "fine" if max(height, width) > LARGEST else "coarse"
    size = f'width="{width}" height="{height}" preserveAspectRatio="none" class="{kind}"'
    dimmed = ' opacity=".55"' if layer else ""
    parts = [f'<image href="{data_uri(pixels)}" {size}{dimmed}/>']
    parts += [f'<image href="{layer}" {size}/>'] if layer else []
    if frame:
        top, left, bottom, end = frame
        parts.append(f'<rect x="{left}" y="{top}" width="{end - left}" height="{bottom - top}" class="frame"/>')
    box = f"{-right} {-down} {width + 2 * right} {height + 2 * down}"
    return Markup(f'<svg class="over" viewBox="{box}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')


def _small(values: np.ndarray) -> np.ndarray:
    """A map, uint8 (height, width), whose longer side is at most `LARGEST` pixels."""
    longer = max(values.shape)
    if longer <= LARGEST:
        return values
    size = (round(values.shape[1] * LARGEST / longer), round(values.shape[0] * LARGEST / longer))
    return np.asarray(Image.fromarray(values).resize((max(size[0], 1), max(size[1], 1)), Image.Resampling.BOX))
