"""Medians, ratios within rounds, and tables."""

import pytest

from benchmarks.tables import median, number, percent, ratio, table, times


def rounds(*rates: float) -> dict[str, dict[str, float]]:
    return {str(turn): {"images_per_second": rate} for turn, rate in enumerate(rates)}


def test_median_is_that_of_the_rounds() -> None:
    assert median(rounds(3, 1, 100)) == 3
    assert median({}) is None
    assert median(rounds(3), "seconds") is None


def test_a_ratio_is_within_rounds() -> None:
    """The machine slows to a tenth after the first round: quotients of medians would say 2 or 0.2."""
    ours, theirs = rounds(200, 20, 20), rounds(100, 10, 10)
    assert ratio(ours, theirs) == pytest.approx(2)
    assert ratio(rounds(200, 20), theirs | {"1": {"images_per_second": 5}}) == pytest.approx(3)


def test_a_round_that_one_lacks_does_not_count() -> None:
    assert ratio(rounds(200), rounds(100, 1)) == 2
    assert ratio(rounds(1), {}) is None


def test_numbers_have_three_digits() -> None:
    assert [number(value) for value in (12345.6, 123.4, 12.34, 1.234, 0.0123, None)] == [
        *("12,346", "123", "12.3", "1.23", "0.0123", "–")
    ]
    assert times(1.5) == " (1.50×)"
    assert times(None) == ""
    assert percent(0.92345) == "92.34 %"


def test_a_table_is_aligned_markdown() -> None:
    assert table("Rates", ["peer", "images/s"], [["Striate", "346"]]).splitlines() == [
        "## Rates",
        "",
        "| peer    | images/s |",
        "| ------- | -------- |",
        "| Striate | 346      |",
    ]
    assert table("Rates", ["peer"], []) == ""
