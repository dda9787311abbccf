"""Pictures for the pages with code: arrays of values side by side, enlarged without smoothing."""

from collections.abc import Mapping

import torch
from IPython.display import HTML
from markupsafe import escape
from torch import Tensor

from striate.drawing import data_uri


def row(pictures: Mapping[str, Tensor], width: int = 150, shared: bool = False) -> HTML:
    """Show arrays side by side in grey, the least value black and the greatest white.

    Args:
        pictures: by caption: any numbers (H, W).
        width: of each picture, in pixels.
        shared: whether black and white are the least and greatest of all pictures, instead of each one's own.
    """
    values = [picture.detach().double() for picture in pictures.values()]
    together = torch.cat([each.flatten() for each in values])
    figures = []
    for caption, each in zip(pictures, values, strict=True):
        low, high = (x.item() for x in (together if shared else each).aminmax())
        pixels = ((each - low) / (high - low or 1) * 255).round().byte()[..., None]
        figures.append(
            f'<figure><img src="{data_uri(pixels)}" width="{width}" alt="{escape(caption)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return HTML(f'<div class="pictures">{"".join(figures)}</div>')
