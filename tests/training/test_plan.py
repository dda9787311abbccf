"""Plans: a straight line to the end, bent where the number of steps changed, and the text that stands for them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import ArgumentError
from striate.training import Plan, Recipe
from striate.training.plan import learning_rate_factor


@st.composite
def plans(draw):
    plan, at = Plan(((0, draw(st.integers(1, 200))),)), 0
    for _ in range(draw(st.integers(0, 4))):
        if plan.steps - at < 2:
            break
        at = draw(st.integers(at + 1, plan.steps - 1))
        plan = plan.changed(at, draw(st.integers(at + 1, at + 200)))
    return plan


@pytest.mark.slow
@given(plans())
def test_a_run_rises_from_nought_to_one_and_its_text_is_its_own(plan):
    done = [plan.done(step) for step in range(plan.steps)]
    assert done == sorted(set(done))
    assert done[0] > 0
    assert done[-1] < 1
    assert plan.done(plan.steps) == pytest.approx(1)
    assert Plan.parse(plan.text) == plan


@given(st.integers(1, 500))
def test_without_changes_it_is_an_even_line(steps):
    plan = Plan.parse(str(steps))
    assert [plan.done(step) for step in range(steps)] == [(step + 1) / (steps + 1) for step in range(steps)]


def test_a_change_keeps_what_was_and_leads_to_the_new_end():
    before, after = Plan.parse("9"), Plan.parse("9,4:14")
    assert [after.done(step) for step in range(5)] == [before.done(step) for step in range(5)]
    assert [after.done(step) for step in range(5, 14)] == pytest.approx([0.5 + 0.05 * k for k in range(1, 10)])
    assert (before.steps, after.steps) == (9, 14)
    assert before.changed(4, 14) == after


@pytest.mark.parametrize("text", ["", "x", "-3", "10,5", "10,5:5", "10,5:20,5:30", "10,8:20,6:30", "10;5:20", "1.5"])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ArgumentError, match="steps="):
        Plan.parse(text)


SCHEDULES = ["linear", "cosine", "constant"]
schedules = st.sampled_from(SCHEDULES)


def factors(steps, **settings):
    recipe = Recipe(**settings)
    plan = Plan.parse(str(steps))
    return [learning_rate_factor(recipe.schedule, recipe.warmup, plan.done(step)) for step in range(steps)]


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


def test_linear_falls_in_a_straight_line():
    values = factors(999, schedule="linear", warmup=0.25)
    assert values[250:] == pytest.approx([left / 750 for left in range(749, 0, -1)])


def test_cosine_is_half_a_period():
    values = factors(999, schedule="cosine", warmup=0)
    assert values == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 1000)) for step in range(1, 1000)])
    assert factors(999, schedule="cosine", warmup=0.5)[749] == pytest.approx(0.5)


def test_constant_stays_at_the_peak_and_warmup_alone_only_rises():
    assert factors(10, schedule="constant", warmup=0) == [1] * 10
    for schedule in SCHEDULES:
        assert factors(9, schedule=schedule, warmup=1) == pytest.approx([step / 10 for step in range(1, 10)])
