"""Schedules: within (0, 1], up and then down, and the shapes their names say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.training import Plan, Recipe
from striate.training.schedules import factor

SCHEDULES = ["one-cycle", "cosine", "constant"]
schedules = st.sampled_from(SCHEDULES)


def factors(steps, **settings):
    recipe = Recipe(**settings)
    plan = Plan.parse(str(steps))
    return [factor(recipe, plan.done(step)) for step in range(steps)]


@given(schedules, st.floats(0, 1), st.integers(1, 300))
def test_every_factor_is_above_nought_and_at_most_one(schedule, warmup, steps):
    values = factors(steps, schedule=schedule, warmup=warmup)
    assert all(0 < value <= 1 for value in values)
    peak = values.index(max(values))
    assert values[: peak + 1] == sorted(values[: peak + 1]), "up"
    assert values[peak:] == sorted(values[peak:], reverse=True), "then down"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rise_is_a_straight_line_over_the_share_that_warmup_says(schedule):
    values = factors(999, schedule=schedule, warmup=0.25)
    assert values[:249] == pytest.approx([step / 250 for step in range(1, 250)])
    assert values[249] == 1


def test_one_cycle_falls_in_a_straight_line():
    values = factors(999, schedule="one-cycle", warmup=0.25)
    assert values[250:] == pytest.approx([left / 750 for left in range(749, 0, -1)])


def test_cosine_is_half_a_period():
    values = factors(999, schedule="cosine", warmup=0)
    assert values == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 1000)) for step in range(1, 1000)])
    assert factors(999, schedule="cosine", warmup=0.5)[749] == pytest.approx(0.5)


def test_constant_stays_at_the_peak_and_warmup_alone_only_rises():
    assert factors(10, schedule="constant", warmup=0) == [1] * 10
    for schedule in SCHEDULES:
        assert factors(9, schedule=schedule, warmup=1) == pytest.approx([step / 10 for step in range(1, 10)])
