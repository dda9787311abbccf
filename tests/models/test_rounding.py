"""Rounding of channel counts: multiples of 8 that are never much smaller than what was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.models.rounding import divisible


@pytest.mark.parametrize(
    ("asked", "made"), [(40, 40), (44, 48), (19.2, 24), (17.6, 16), (3, 8), (100.8, 104), (272, 272)]
)
def test_examples(asked: float, made: int) -> None:
    assert divisible(asked) == made


@given(st.floats(1, 5000))
def test_it_is_a_multiple_of_8_near_what_was_asked_for(asked: float) -> None:
    made = divisible(asked)
    assert made % 8 == 0
    assert made >= 0.9 * asked
    assert made <= asked + 8
