"""The comparison's page: whole, well-formed, and true to the numbers."""

import re
from pathlib import Path

import pytest
from html_page import Page
from outcomes import of_seeds

from striate.comparison import Comparison, compare
from striate.errors import ArgumentError, StorageError
from striate.reports import report_comparison
from striate.reports.ilsvrc import WINNERS

NAMES = ("small", "tall", "resnet18:stem=small")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    accuracies = zip(NAMES, (0.8, 0.9, 0.9), strict=True)
    return compare({name: of_seeds(name, each) for name, each in accuracies}, multiply_adds=dict.fromkeys(NAMES, 5000))


def page_of(comparison: Comparison, folder: Path, **more: str) -> Page:
    return Page(report_comparison(comparison, out=folder / "comparison.html", **more))


@pytest.mark.slow
def test_it_has_all_its_parts_and_loads_nothing(comparison: Comparison, tmp_path: Path):
    page = page_of(comparison, tmp_path, command="striate compare small tall")
    assert page.headings == [
        *("Significance of the differences", "Accuracy against training time", "Accuracy against size"),
        *("For context: the ImageNet contest, year by year", "How to repeat this comparison"),
    ]
    assert page.tags.count("svg") == 4
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert re.findall(r"url\((?!#)|@import", page.html) == []
    assert "striate compare small tall" in page.text


@pytest.mark.slow
def test_the_table_and_the_verdicts_are_the_comparisons(comparison: Comparison, tmp_path: Path):
    page = page_of(comparison, tmp_path)
    for row in comparison.rows:
        assert (
            f"● {row.name} {100 * row.accuracy:.2f}\N{NO-BREAK SPACE}%".replace("\N{NO-BREAK SPACE}", " ") in page.text
        )
    assert page.html.count("is better than small:") == 2 + 4  # said twice, and in the titles of four cells
    assert page.html.count("no significant difference,") == 1 + 2
    assert page.html.count('class="hit"') == page.html.count('class="miss"') == page.html.count('class="luck"') == 2
    assert "leads, but is not significantly better than" in page.html


@pytest.mark.slow
def test_every_name_is_in_every_plot(comparison: Comparison, tmp_path: Path):
    drawings = re.findall(r"<svg.*?</svg>", page_of(comparison, tmp_path).html, re.DOTALL)
    for drawing in drawings[:3]:
        assert all(name in drawing for name in NAMES)
        assert "var(--key1)" in drawing


@pytest.mark.slow
def test_headlines(tmp_path: Path):
    clear = compare({"small": of_seeds("small", 0.8), "tall": of_seeds("tall", 0.9)})
    assert "tall is the best model" in page_of(clear, tmp_path).text
    unclear = compare({"wide": of_seeds("wide", 0.9), "tall": of_seeds("tall", 0.9)})
    assert "No model is clearly the best" in page_of(unclear, tmp_path).text
    alone = page_of(compare({"tall": of_seeds("tall", 0.9)}), tmp_path)
    assert "1 model on" in alone.text
    assert "Significance of the differences" not in alone.headings


@pytest.mark.slow
def test_what_failed_is_told(tmp_path: Path):
    comparison = compare({"tall": of_seeds("tall", 0.9)}, failures={"<b>x</b>, seed 1": "the loss became nan"})
    page = page_of(comparison, tmp_path)
    assert "<b>x</b>, seed 1 failed: the loss became nan" in page.text


@pytest.mark.slow
def test_without_times_sizes_and_curves_it_is_still_a_page(tmp_path: Path):
    group = of_seeds("tall", 0.9, curve=(), train_seconds=None, images_per_second=None)
    page = page_of(compare({"tall": group, "small": of_seeds("small", 1.0, curve=())}), tmp_path)
    assert page.tags.count("svg") == 3
    assert "Lines:" not in page.text
    assert "–" in page.text


@pytest.mark.slow
def test_many_models_with_odd_names(tmp_path: Path):
    names = [f"$x_{n}$ <i>{n}</i>" for n in range(20)]
    comparison = compare({name: of_seeds("mlp", 0.5 + n / 50, 1) for n, name in enumerate(names)})
    page = page_of(comparison, tmp_path)
    assert "i" not in page.tags
    assert page.html.count('class="hit"') == sum(pair.real for pair in comparison.pairs)


@pytest.mark.slow
def test_it_is_the_same_each_time(comparison: Comparison, tmp_path: Path):
    before = page_of(comparison, tmp_path).html
    assert page_of(comparison, tmp_path).html == before


@pytest.mark.slow
def test_a_place_that_cant_be_written_is_one_clear_error(comparison: Comparison, tmp_path: Path):
    with pytest.raises(ArgumentError, match="is a folder: name the file"):
        report_comparison(comparison, out=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="can't write"):
        report_comparison(comparison, out=tmp_path / "file" / "comparison.html")


# ---------------------------------------------------------------- the contest's winners


def test_the_winners_are_those_of_the_papers():
    errors = {each.year: each.top5_error for each in WINNERS}
    assert list(errors) == list(range(2010, 2018))
    assert list(errors.values()) == sorted(errors.values(), reverse=True)
    stated = {each.year: 100 * each.top5_error for each in WINNERS if each.stated}
    assert stated == pytest.approx({2010: 28.2, 2012: 16.4, 2013: 11.7, 2014: 6.67, 2015: 3.57, 2017: 2.251})
    assert [each.year for each in WINNERS if not each.network] == [2010, 2011]


@pytest.mark.slow
def test_each_winner_is_shown_with_its_source(comparison: Comparison, tmp_path: Path):
    text = page_of(comparison, tmp_path).text
    for each in WINNERS:
        assert each.team in text
        assert each.source in text
        assert each.stated != (each.source == "as commonly reported")
