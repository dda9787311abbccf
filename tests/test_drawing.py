"""Figures take their colours from the page, and pages take their look from one place."""

import re
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from PIL import Image

from striate.drawing import KEYS, Line, category_chart, data_uri, key, lines


def test_a_line_is_a_colour_of_the_page(tmp_path: Path) -> None:
    drawn = lines(
        [Line("one", [(0, 0.5), (1, None), (2, 1)], 1), Line("<two>", [(0, 1)], 2)], x="d", y="", label="moves"
    )
    assert "var(--key2)" in drawn
    assert "var(--key3)" in drawn
    assert set(re.findall(r"#0[1-9a-f]0[1-9a-f]0[1-9a-f]", drawn)) == set(), "no placeholder of a colour is left"
    assert 'aria-label="moves"' in drawn
    (tmp_path / "page.html").write_text(f"<html><body>{drawn}</body></html>")
    Page(tmp_path / "page.html")


@pytest.mark.parametrize("bars", [False, True])
def test_categories_stand_one_under_the_other_with_their_names(bars: bool, tmp_path: Path) -> None:
    values = [Line("one", [(0, 0.5), (1, None), (2, 1)]), Line("two", [(0, 1), (1, 0.2), (2, 0.3)], 1)]
    drawn = category_chart(["a", "b$_{1}$", "c"], values[: 1 if bars else 2], x="share", label="steps", bars=bars)
    height = {name: float(y) for y, name in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([abc][^<]*)<', drawn)}
    assert sorted(height, key=height.__getitem__) == ["a", "b$_{1}$", "c"]
    assert ("100 %" in drawn) == bars
    (tmp_path / "page.html").write_text(f"<html><body>{drawn}</body></html>")
    Page(tmp_path / "page.html")


def test_shares_side_by_side_have_one_scale() -> None:
    low, own = (
        lines([Line("one", [(0, 0.42), (1, 0.44)])], x="d", y="share", label="low", whole=whole)
        for whole in (True, False)
    )
    assert all(f">{end} %<" in low for end in (0, 100))
    assert ">0 %<" not in own


def test_keys_begin_again() -> None:
    assert len({key(number) for number in range(KEYS)}) == KEYS
    assert key(KEYS) == key(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_read_back(channels: int) -> None:
    import base64
    import io

    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, channels)).astype(np.uint8)
    kind, data = data_uri(pixels).split(",")
    assert kind == "data:image/png;base64"
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).reshape(pixels.shape)
    assert (read == pixels).all()
