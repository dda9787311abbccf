"""Contact sheets: one image that shows a row of examples for each class of a data set."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from striate.data.dataset import Dataset

_SMALLEST, _LARGEST = 56, 112  # the longer side of an example, in pixels
_GAP = 4
_TEXT = 14
_WIDEST_LABEL = 220
_MOST_CLASSES = 100  # nobody looks at more rows, and they may not fit into memory
_PAPER, _INK = (255, 255, 255), (32, 32, 32)

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def contact_sheet(dataset: Dataset, columns: int = 10) -> Image.Image:
    """Draw training examples, spread evenly over each class in the order of the data: always the same ones.

    Small images are enlarged by a whole number without smoothing, large ones are shrunk. Each row is labelled with the
    class's number and name; with more than 100 classes, a last line says how many are not shown.

    Args:
        dataset: at least one image a class.
        columns: how many examples a class.

    Returns:
        An RGB image.
    """
    rows = [
        (name if name == str(label) else f"{label}: {name}", _examples(dataset, label, columns))
        for label, name in enumerate(dataset.classes[:_MOST_CLASSES])
    ]
    if len(dataset.classes) > _MOST_CLASSES:
        rows.append((f"and {len(dataset.classes) - _MOST_CLASSES} more classes", dataset.train.images[:0]))
    return grid(rows, columns)


def grid(rows: Sequence[tuple[str, torch.Tensor]], columns: int) -> Image.Image:
    """Draw rows of equally large images, each row with its name.

    Args:
        rows: the names, and uint8 (n, H, W, C) with n up to `columns`.
        columns: the most images in a row.

    Returns:
        An RGB image.
    """
    font = _font()
    names = [_shortened(name, font) for name, _ in rows]
    margin = round(max(font.getlength(name) for name in names)) + 3 * _GAP
    height, width = _cell(*rows[0][1].shape[1:3])
    size = (margin + columns * (width + _GAP), _GAP + len(names) * (height + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (name, (_, images)) in enumerate(zip(names, rows, strict=True)):
        top = _GAP + row * (height + _GAP)
        draw.text((_GAP, top + (height - _TEXT) // 2), name, fill=_INK, font=font)
        for column, image in enumerate(images):
            sheet.paste(_scaled(image, height, width), (margin + column * (width + _GAP), top))
    return sheet


def _examples(dataset: Dataset, label: int, count: int) -> torch.Tensor:
    """Return up to `count` training images of a class, uint8 (n, H, W, C)."""
    members = torch.nonzero(dataset.train.labels == label)[:, 0]
    positions = np.linspace(0, len(members) - 1, min(count, len(members))).astype(np.int64)
    return dataset.train.images[members[torch.from_numpy(positions)]]


def _cell(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    if longest > _LARGEST:
        return max(1, height * _LARGEST // longest), max(1, width * _LARGEST // longest)
    factor = -(-_SMALLEST // longest)
    return height * factor, width * factor


def _scaled(image: torch.Tensor, height: int, width: int) -> Image.Image:
    pixels = image.numpy()
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    enlarged = height >= picture.height
    return picture.resize((width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def _font() -> Font:
    """Return Matplotlib's DejaVu Sans, which covers most alphabets; Pillow's own font covers English only."""
    try:
        return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _TEXT)
    except (ImportError, OSError):  # a Pillow without FreeType, or a Matplotlib without its fonts
        return ImageFont.load_default()


def _shortened(text: str, font: Font) -> str:
    """Return `text` on one line, cut to fit the margin; letters missing in the bitmap font are written as codes."""
    text = " ".join(text.split())
    if not isinstance(font, ImageFont.FreeTypeFont):
        text = text.encode("latin-1", "backslashreplace").decode("latin-1")
    if font.getlength(text) <= _WIDEST_LABEL:
        return text
    while text and font.getlength(f"{text}...") > _WIDEST_LABEL:
        text = text[:-1]
    return f"{text}..."
