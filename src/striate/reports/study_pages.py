"""HTML pages of the experiments: on pooling and shifts, and on pooling across channels.

The second has templates, winners, and a slider that changes an image.
"""

import base64
import hashlib
from importlib import resources
from pathlib import Path

import torch
from markupsafe import Markup, escape
from torch import Tensor

from striate import layers
from striate.drawing import KEYS, Line, data_uri, lines
from striate.files import write_atomic
from striate.inspection.studies.changes import Change
from striate.inspection.studies.depthwise import DepthwiseStudy
from striate.inspection.studies.depthwise_text import estimate, headline, verdicts
from striate.inspection.studies.pooling import PoolingStudy, ring, segmented
from striate.inspection.studies.templates import Likeness
from striate.reports.pictures import filter_picture
from striate.reports.rendering import file_to_write, render
from striate.units import minus

DRAWN = 0.02  # the least share of wins that is drawn


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


def report_depthwise(study: DepthwiseStudy, out: str | Path) -> Path:
    """Write the page of `depthwise_study`: one file without network requests, whose one script moves the slider.

    Raises:
        ArgumentError: if `out` is a folder.
        StorageError: if the file can't be written; what was there before stays.
    """
    path = file_to_write(out, "depthwise.html")
    arms, change, found = (*study.templates, *study.filters), study.change, study.likeness
    drawn = [
        Line(
            arm.name,
            list(zip(change.strengths, arm.by_strength, strict=True)),
            key,
            "-" if arm in study.templates else "--",
        )
        for key, arm in enumerate(arms)
    ]
    script = resources.files("striate.reports").joinpath("templates/depthwise.js").read_text(encoding="utf-8")
    page = {
        "study": study,
        "seeds": len(study.templates[0].accuracy.values),
        "arms": arms,
        "headline": headline(study),
        "verdicts": verdicts(study),
        "estimate": estimate,
        "accuracy": lines(drawn, x=change.unit, y="accuracy", label=f"accuracy by {change.name}", legend=False),
        "labels": [_label(change, strength) for strength in change.strengths],
        "middle": change.strengths.index(change.unchanged),
        "groups": [
            {
                "name": name,
                "templates": [
                    (filter_picture(each[None]), used)
                    for each, used in zip(study.weights[number], study.winners.used[number].tolist(), strict=True)
                ],
                "wins": _wins(study.winners.shares[number], name),
                "pair": _most_alike(found[0], number, study) if found else "",
            }
            for number, name in enumerate(study.classes)
        ],
        "reels": [
            {"name": name, "picture": _reel(study.winners.examples[number]), "chosen": chosen}
            for number, (name, chosen) in enumerate(zip(study.classes, study.winners.chosen.tolist(), strict=True))
        ],
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    write_atomic(path, render("depthwise.html.j2", page))
    return path


def _label(change: Change, strength: float) -> str:
    return minus(f"{strength:.3g}{change.sign}")


def _wins(shares: Tensor, name: str) -> Markup:
    """Heat map of the shares of wins, (templates, strengths): a row of cells for each template, in its colour."""
    templates, strengths = shares.shape
    rows = []
    for number, row in enumerate(shares.tolist()):
        cells = "".join(
            f'<rect x="{place}" width="1" height="1" opacity="{share:.2f}"/>'
            for place, share in enumerate(row)
            if share >= DRAWN
        )
        rows.append(f'<g fill="var(--key{number % KEYS + 1})" transform="translate(0 {number})">{cells}</g>')
    label = f"which template of class {escape(name)} wins at which change"
    box = f'viewBox="0 0 {strengths} {templates}" preserveAspectRatio="none"'
    return Markup(f'<svg {box} role="img" aria-label="{label}">{"".join(rows)}</svg>')


def _most_alike(found: Likeness, group: int, study: DepthwiseStudy) -> str:
    """The most alike pair of a group's used templates, as a sentence; empty where only one is used."""
    used = study.winners.used[group]
    if used.sum() < 2:
        return ""
    alike = found.alike[group].masked_fill(~(used[:, None] & used), -torch.inf).fill_diagonal_(-torch.inf)
    first, second = divmod(int(alike.argmax()), len(alike))
    by = _label(study.change, float(found.by[group, first, second]))
    return (
        f"{study.change.name} of template {first + 1} by {by} gives template {second + 1}: likeness {alike.max():.2f}"
    )


def _reel(examples: Tensor) -> str:
    """An image at every strength, side by side, uint8 (strengths, side, side)."""
    return data_uri(torch.cat(tuple(examples), 1)[..., None])
