"""Figures that the research pages put beside published ones are those of docs/results.md and of the models."""

import re
import tomllib
from pathlib import Path

import pytest

import striate

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = tomllib.loads((DOCS / "research" / "figures.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("figure", FIGURES["accuracy"], ids=lambda figure: figure["model"])
def test_each_seed_is_in_the_results(figure: dict) -> None:
    rows = (DOCS / "results.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if f"| {', '.join(f'{value:.2f}' for value in figure['measured'])} |" in row]
    (seeds,) = re.findall(r"\| ((?:\d+, )+\d+) \|", row)
    assert len(seeds.split(",")) == len(figure["measured"])


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES["cost"], ids=lambda figure: figure["model"])
def test_the_published_cost_is_ours_but_for_rounding(figure: dict) -> None:
    table = striate.describe(striate.create(figure["model"], classes=1000, channels=3, image_size=224))
    assert table.multiply_adds == pytest.approx(figure["multiply_adds"], rel=0.08)
