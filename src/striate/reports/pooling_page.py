"""HTML page of the experiment on pooling and shifts."""

from pathlib import Path

import torch
from torch import Tensor

from striate import layers
from striate.drawing import Line, data_uri, lines
from striate.files import write_atomic
from striate.inspection.studies.pooling import PoolingStudy, ring, segmented
from striate.reports.rendering import file_to_write, render


def report_pooling(study: PoolingStudy, out: str | Path) -> Path:
    """Write the page of `pooling_effects`: one file without network requests.

    Raises:
        ArgumentError: if `out` is a folder.
        StorageError: if the file can't be written; what was there before stays.
    """
    path = file_to_write(out, "pooling.html")
    moved = [Line(each.name, sorted(each.equal.items()), key) for key, each in enumerate(study.effects)]
    followed = [
        Line(each.name, sorted(each.overlap.items()), key) for key, each in enumerate(study.effects) if each.overlap
    ]
    page = {
        "study": study,
        "pictures": [
            {"name": name, "picture": _picture(picture), "pooled": _picture(pooled), "same": same}
            for name, picture, pooled, same in zip("ABC", study.pictures, study.pooled, study.same_as_a, strict=True)
        ],
        "masks": _masks(),
        "equal": lines(
            moved,
            x="moved to the right, in pixels",
            y="equal outputs",
            label="equal outputs by move",
            legend=False,
        ),
        "overlap": lines(
            followed,
            x="moved to the right, in pixels",
            y="intersection over union",
            label="overlap by move",
            shares=False,
            legend=False,
        ),
    }
    write_atomic(path, render("pooling.html.j2", page))
    return path


def _masks() -> list[tuple[str, str]]:
    """Pictures of the ring pooled and then moved by a pixel, moved and then pooled, and their difference."""
    pool, mask = layers.MaxPool2d(2), ring()
    wanted, got = segmented(pool, mask).roll(1, -1), segmented(pool, mask.roll(1, -1))
    named = (("pooled, then moved", wanted), ("moved, then pooled", got), ("difference", wanted ^ got))
    return [(name, _picture(each[0, 0].float(), 6)) for name, each in named]


def _picture(values: Tensor, size: int = 24) -> str:
    """An array of values in 0 … 1 as dark on light, its cells `size` pixels wide and separated by lines."""
    cells = (255 * (1 - 0.85 * values)).repeat_interleave(size, 0).repeat_interleave(size, 1)
    line = torch.arange(len(cells)) % size == 0
    cells[line[:, None] | line] = 200
    return data_uri(cells.round().byte()[..., None])
