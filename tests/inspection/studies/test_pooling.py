"""The textbook's figure, computed; and the numbers beside it, again in plain Python."""

import json
from pathlib import Path

import pytest
import torch
from html_page import Page

from striate.inspection.studies.pooling import POOLS, PoolingStudy, pooling_effects, ring
from striate.reports.study_pages import report_pooling


@pytest.fixture(scope="module")
def study() -> PoolingStudy:
    return pooling_effects()


def pooled(picture: list[list[float]]) -> list[list[float]]:
    """2×2 max pooling, written out."""
    pairs = [list(zip(*rows, strict=True)) for rows in zip(picture[::2], picture[1::2], strict=True)]
    return [[max(*row[at], *row[at + 1]) for at in range(0, len(row), 2)] for row in pairs]


def test_a_and_b_are_alike_and_three_quarters_of_c(study: PoolingStudy) -> None:
    a, b, c = study.pictures.tolist()
    assert [row[:-1] for row in a] == [row[1:] for row in b]
    assert [row[:-2] for row in a] == [row[2:] for row in c]
    assert pooled(a) == pooled(b) == study.pooled[0].tolist() == study.pooled[1].tolist()
    assert sum(x == y for p, q in zip(pooled(a), pooled(c), strict=True) for x, y in zip(p, q, strict=True)) == 12
    assert study.same_as_a == (1.0, 1.0, 0.75)


def test_the_table_says_the_same(study: PoolingStudy) -> None:
    effects = {effect.name: effect for effect in study.effects}
    assert list(effects) == [name for name, _ in POOLS]
    plain = effects["max 2×2"]
    assert (plain.destroyed, plain.equal[0], plain.equal[1], plain.equal[2]) == (0.75, 1, 1, 0.75)
    for name in ("global max", "global average"):
        assert effects[name].destroyed == 63 / 64
        assert effects[name].equal_all == 1
        assert effects[name].overlap is effects[name].aliasing is effects[name].mean_overlap is None
    blurred = effects["max 2×2, blurred"]
    assert blurred.aliasing < plain.aliasing / 3
    for effect in study.effects:
        if effect.overlap:
            assert all(effect.overlap[by] == 1 for by in (0, 2, 4, 6, 8)), "even moves go through whole"
            assert all(effect.overlap[by] < 0.9 for by in (1, 3, 5, 7))


def test_overlap_of_the_ring_again(study: PoolingStudy) -> None:
    mask = ring()[0, 0]
    assert mask[:, -9:].sum() == 0, "it stays in the picture when it is moved"

    def found(picture: torch.Tensor) -> torch.Tensor:
        small = torch.tensor(pooled(picture.tolist()))
        return small.repeat_interleave(2, 0).repeat_interleave(2, 1) >= 0.5

    along, again = found(mask).roll(3, 1), found(mask.roll(3, 1))
    assert study.effects[0].overlap[3] == pytest.approx(float((along & again).sum() / (along | again).sum()))


def test_text_page_and_json(study: PoolingStudy, tmp_path: Path) -> None:
    assert "A 100 %, B 100 %, C 75 %" in study.text()
    json.dumps(study.to_dict(), allow_nan=False)
    page = Page(report_pooling(study, tmp_path / "pooling.html"))
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "75 % of 16 values equal A’s" in page.text.replace("\N{NO-BREAK SPACE}", " ")
