"""HTML page of an audit: copies side by side, suspicious labels with the classes they look like, odd images."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.images.decode import UndecodableError, decode
from striate.drawing import data_uri
from striate.inspection import Audit
from striate.inspection.audits.result import HEADINGS, LEAK, ImageAt, pixels_of
from striate.reports.rendering import Page, file_to_write, write_page
from striate.resizing import pixels_of as values_of
from striate.resizing import resized
from striate.units import plural

MOST_SHOWN = 48  # of each kind
LARGEST = 160  # pixels of a picture's longer side


def report_audit(found: Audit, *, out: str | Path) -> Page:
    """Write the page of `audit`: one file without network requests.

    Args:
        found: the audit, with its data set.
        out: the file.

    Raises:
        ArgumentError: if `out` is a folder.
        StorageError: if the file can't be written; what was there before stays.

    >>> page = report_audit(striate.audit(data, quick=True), out="audit.html")
    >>> page.name, page.is_file()
    ('audit.html', True)
    """
    path = file_to_write(out, "data.html")
    copies = [
        {"copies": each, "images": [_image(found, image) for image in each.images[:MOST_SHOWN]]}
        for each in found.copies[:MOST_SHOWN]
    ]
    suspects = [{"suspect": each, **_image(found, each.image)} for each in found.suspects[:MOST_SHOWN]]
    odd = [
        {
            "heading": heading[0].upper() + heading[1:],
            "count": len(found.odd(kind)),
            "images": [{"reason": each.reason, **_image(found, each.image)} for each in found.odd(kind)[:MOST_SHOWN]],
        }
        for kind, heading in HEADINGS.items()
        if found.odd(kind)
    ]
    page = {
        "audit": found,
        "headline": _headline(found),
        "leaks": [f"{plural(count, f'{split} image')} also in train: {LEAK}" for split, count in found.leaked.items()],
        "tiles": _tiles(found),
        "copies": copies,
        "suspects": suspects,
        "odd": odd,
    }
    return write_page(path, "audit.html.j2", page)


def _headline(found: Audit) -> str:
    count = len(found.copies) + len(found.suspects) + len(found.oddities)
    return f"{plural(count, 'finding')} in {plural(found.images, 'image')}" if count else "Nothing suspicious found"


def _tiles(found: Audit) -> Iterable[tuple[str, int]]:
    """Counts of each kind of finding."""
    yield "pictures several times", len(found.copies)
    if found.model:
        yield "labels probably wrong", len(found.suspects)
        yield "of no class", len(found.odd("outlier"))
    for kind in ("blurred", "nearly empty", "small"):
        yield kind, len(found.odd(kind))


def _image(found: Audit, image: ImageAt) -> dict[str, Any]:
    """An image for the page: its picture, its class for pixelated or smooth drawing, and where it is."""
    pixels = _pixels(found, image)
    return {"picture": data_uri(pixels), "fine": max(pixels.shape[:2]) > 64, "at": image, "name": image.name}


def _pixels(found: Audit, image: ImageAt) -> np.ndarray:
    """The pixels of an image from its file, made smaller, or those of the data set."""
    try:
        pixels = decode(image.file, lambda width, height: (LARGEST, LARGEST)) if Path(image.file).is_file() else None
    except UndecodableError:  # the file has changed since
        pixels = None
    if pixels is None:
        pixels = values_of(pixels_of(found.data, image)) if found.data is not None else np.zeros((1, 1, 1), np.uint8)
    height, width = pixels.shape[:2]
    ratio = LARGEST / max(height, width)
    return pixels if ratio >= 1 else resized(pixels, max(1, round(width * ratio)), max(1, round(height * ratio)))
