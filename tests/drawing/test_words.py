"""Words for people: columns line up, whatever the letters."""

import pytest
from rich.cells import cell_len

from striate.drawing import aligned, duration, percent


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
