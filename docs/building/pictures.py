"""Pictures for the pages with code: arrays of values side by side, enlarged without smoothing."""

import base64
import io
import json
from collections.abc import Mapping
from itertools import count

import torch
from IPython.display import HTML
from markupsafe import escape
from PIL import Image
from torch import Tensor, nn

from striate.drawing import data_uri, svg_uri
from striate.inspection import architecture_svg

_NUMBERS = count(1)


def row(pictures: Mapping[str, Tensor], width: int = 150, shared: bool = False) -> HTML:
    """Show arrays side by side, the least value black and the greatest white.

    Args:
        pictures: by caption: any numbers (H, W), or uint8 (H, W, 3), in colour as they are.
        width: of each picture, in pixels.
        shared: whether black and white are the least and greatest of all pictures, instead of each one's own.
    """
    sources = _sources(list(pictures.values()), shared)
    return HTML(f'<div class="pictures">{_figures(list(pictures), sources, width)}</div>')


def picture(path: str, description: str) -> HTML:
    """Show an image file; the description is for those who cannot see it."""
    file = io.BytesIO()
    Image.open(path).convert("RGB").save(file, "WEBP", quality=85)
    source = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
    return HTML(f'<img src="{source}" alt="{escape(description)}">')


def slider(frames: Mapping[str, Mapping[str, Tensor]], label: str, width: int = 150) -> HTML:
    """Show pictures side by side that a slider changes, by mouse, finger or arrow keys; without a script, the first.

    Args:
        frames: by what the slider says at each place: pictures as for `row`, with the same captions at each.
        label: what the slider moves.
        width: of each picture, in pixels.
    """
    captions = list(next(iter(frames.values())))
    flat = _sources([picture for pictures in frames.values() for picture in pictures.values()], shared=True)
    sources = [flat[start : start + len(captions)] for start in range(0, len(flat), len(captions))]
    figures = _figures(captions, sources[0], width)
    name, said = f"slider-{next(_NUMBERS)}", list(frames)
    script = f"""(() => {{
  const said = {json.dumps(said)}, sources = {json.dumps(sources)}, part = document.getElementById("{name}");
  const range = part.querySelector("input"), show = () => {{
    part.querySelector("output").value = said[range.value];
    range.setAttribute("aria-valuetext", said[range.value]);
    part.querySelectorAll("img").forEach((image, number) => image.src = sources[range.value][number]);
  }};
  range.addEventListener("input", show);
  show();
}})();"""
    return HTML(
        f'<div class="slider" id="{name}"><label>{escape(label)} '
        f'<input type="range" min="0" max="{len(said) - 1}" value="0"></label> <output>{escape(said[0])}</output>'
        f'<div class="pictures">{figures}</div></div><script>{script}</script>'
    )


def architecture(model: str | nn.Module) -> HTML:
    """Show the drawing of a network's architecture, to be scrolled sideways where it would be too small to read."""
    drawing = architecture_svg(model)
    name = model if isinstance(model, str) else model.architecture.text
    width = float(drawing.partition(' width="')[2].partition('"')[0])
    style = f"width: 100%; min-width: min({width:g}px, 45rem); max-width: {width:g}px"
    description = f"The layers of {escape(name)} and how they are connected"
    return HTML(f'<div class="architecture"><img src="{svg_uri(drawing)}" style="{style}" alt="{description}"></div>')


def _figures(captions: list[str], sources: list[str], width: int) -> str:
    return "".join(
        f'<figure><img src="{source}" width="{width}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, source in zip(captions, sources, strict=True)
    )


def _sources(pictures: list[Tensor], shared: bool) -> list[str]:
    """The pictures' data: addresses."""
    grey = [picture.detach().double().flatten() for picture in pictures if picture.dim() == 2]
    together = torch.cat(grey) if grey else torch.zeros(1)
    sources = []
    for picture in pictures:
        if picture.dim() == 3:
            sources.append(data_uri(picture))
            continue
        low, high = (x.item() for x in (together if shared else picture.detach().double()).aminmax())
        pixels = ((picture.detach().double() - low) / (high - low or 1) * 255).round().byte()[..., None]
        sources.append(data_uri(pixels))
    return sources
