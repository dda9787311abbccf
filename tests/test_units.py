"""Sizes and durations as people write them: what is written is what is read, and everything else is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from striate.errors import ArgumentError
from striate.units import aligned, bytes_of, duration, percent, readable, seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("8GB", 8 * 10**9),
        ("1.5 gb", 1_500_000_000),
        ("500MB", 5 * 10**8),
        ("2TiB", 2**41),
        ("64 KiB", 65536),
        ("12", 12),
        ("7B", 7),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8 bananas", "8G", "1e9", "8GBGB", "1.2.3MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="write it as in 8GB, 500MB or 0"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1234567, "1.2 MB"),
        (20 * 10**9, "20 GB"),
        (10**16, "10000 TB"),
    ],
)
def test_sizes_are_written(size: int, text: str) -> None:
    assert readable(size) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2h", 7200), ("1.5h", 5400), ("1h 5s", 3605), (" 3M ", 180)],
)
def test_the_usual_ways_to_write_it(text: str, expected: float):
    assert seconds(text) == expected


@given(st.integers(0, 99), st.integers(0, 999), st.integers(0, 9999))
def test_it_reads_what_was_written(h: int, m: int, s: int):
    parts = [f"{number}{unit}" for number, unit in ((h, "h"), (m, "m"), (s, "s")) if number]
    if parts:
        assert seconds("".join(parts)) == seconds(" ".join(parts)) == 3600 * h + 60 * m + s


@given(st.floats(0.001, 1e6))
def test_fractions_are_kept(value: float):
    assert seconds(f"{value:.6f}m") == pytest.approx(60 * value, abs=1e-4)


@pytest.mark.parametrize(
    "text", ["", " ", "10", "m", "0s", "0h0m", "-5m", "5m1h", "1h1h", "10 min", "1e3s", "nan", "٣m", "9" * 400 + "h"]
)
def test_anything_else_is_refused(text: str):
    with pytest.raises(ArgumentError, match="write it as 90s, 10m or 1h30m"):
        seconds(text)


@given(st.text("0123456789.,hms -+eH", max_size=8))
def test_no_text_does_anything_worse_than_be_refused(text: str):
    with contextlib.suppress(ArgumentError):
        assert 0 < seconds(text) < float("inf")


def test_wide_letters_count_as_two() -> None:
    lines = aligned([("猫", "1"), ("cat", "22")], "<>").splitlines()
    assert lines == ["猫    1", "cat  22"]
    assert len({cell_len(line) for line in lines}) == 1


@pytest.mark.parametrize(("fraction", "text"), [(0.98612, "98.61 %"), (None, "–"), (1.0, "100.00 %")])
def test_percent(fraction: float | None, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (59.96, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
