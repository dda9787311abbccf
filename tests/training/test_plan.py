"""Plans: a straight line to the end, bent where the number of steps changed, and the text that stands for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import ArgumentError
from striate.training import Plan


@st.composite
def plans(draw):
    plan, at = Plan(((0, draw(st.integers(1, 200))),)), 0
    for _ in range(draw(st.integers(0, 4))):
        if plan.steps - at < 2:
            break
        at = draw(st.integers(at + 1, plan.steps - 1))
        plan = plan.changed(at, draw(st.integers(at + 1, at + 200)))
    return plan


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


@pytest.mark.parametrize(
    "text", ["", "x", "0", "-3", "10,5", "10,5:5", "10,5:20,5:30", "10,8:20,6:30", "10;5:20", "1.5"]
)
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ArgumentError, match="steps="):
        Plan.parse(text)
