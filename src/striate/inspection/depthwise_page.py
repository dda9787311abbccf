"""The page of the experiment with pooling across channels."""

from pathlib import Path

from torch import Tensor

from striate.drawing import data_uri, file_to_write, render
from striate.files import write_atomic
from striate.inspection.depthwise_study import ANGLES, STROKES, DepthwiseStudy
from striate.inspection.depthwise_text import estimate, headline, verdicts


def report_depthwise(study: DepthwiseStudy, out: str | Path) -> Path:
    """Write the page of `depthwise_study`. It holds all it needs and asks the network for nothing.

    Raises:
        ArgumentError: if `out` is a folder.
        StorageError: if the file can't be written; what was there before stays.
    """
    from striate.drawing.figures import Line, lines  # Matplotlib takes half a second

    path = file_to_write(out, "depthwise.html")
    charts = {}
    for position, what in enumerate(("accuracy", "consistency")):
        drawn = [
            Line(
                arm.name,
                [(float(angle), pair[position]) for angle, pair in zip(ANGLES, arm.by_angle, strict=True)],
                key,
            )
            for key, arm in enumerate(study.arms)
        ]
        charts[what] = lines(drawn, x="turned by, in degrees", y=what, label=f"{what} by angle", legend=False)
    groups = [
        {
            "filters": [data_uri(_picture(each)) for each in filters],
            "winners": [(angle, winner) for angle, winner in zip(STROKES, winners, strict=True)],
            "count": len({winner for winner in winners if winner >= 0}),
        }
        for filters, winners in zip(study.filters, study.winners.tolist(), strict=True)
    ]
    page = {
        "study": study,
        "seeds": len(study.alike.values),
        "groups": groups,
        "headline": headline(study),
        "verdicts": verdicts(study),
        "estimate": estimate,
        "turn": ANGLES[-1],
        **charts,
    }
    write_atomic(path, render("striate.inspection", "depthwise.html.j2", page))
    return path


def _picture(weight: Tensor) -> Tensor:
    """A filter, (h, w), at its full contrast: grey is 0, white the most positive; uint8 (h, w, 1)."""
    return ((weight / weight.abs().max() + 1) * 127.5).round().byte()[..., None]
