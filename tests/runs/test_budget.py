"""A time budget: on a simulated clock the run ends when it should, and a real run keeps its plan."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import dataset

import striate
from striate.errors import ArgumentError
from striate.reports import run_page
from striate.runs import Begun, checkpoints
from striate.training import Plan, Recipe, Step
from striate.training.plan import Budget


class Clock:
    """A simulated machine: each step takes its pace, each epoch's validation a time of its own."""

    def __init__(self, paces, validation, steps_per_epoch):
        self.now, self.paces, self.validation, self.steps_per_epoch = 0.0, paces, validation, steps_per_epoch

    def run(self, budget, plan):
        step = 0
        while step < plan.steps:
            seconds = next(self.paces)
            self.now += seconds
            step += 1
            if step % self.steps_per_epoch == 0 or step == plan.steps:
                self.now += self.validation
            plan = budget.checked(plan, step, seconds)
        return plan


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.floats(0.3, 3), st.floats(0.3, 3), st.floats(0.1, 0.8), st.floats(0, 10), st.integers(20, 2000))
def test_a_run_ends_in_its_time_though_the_machine_changes_its_pace(first, later, turn, validation, steps_per_epoch):
    seconds, pace = 3600.0, 0.5
    clock = Clock(iter(()), validation, steps_per_epoch)
    turned = itertools.repeat(None)
    clock.paces = (pace * (first if clock.now < turn * seconds else later) for _ in turned)
    budget = Budget(seconds, validation, steps_per_epoch, lambda: clock.now)
    clock.run(budget, Plan.parse(str(budget.fitting(0, pace))))
    assert clock.now == pytest.approx(seconds, rel=0.1)


def test_a_plan_that_holds_is_left_alone():
    clock = Clock(itertools.repeat(0.5), 2.0, 100)
    budget = Budget(1000.0, 2.0, 100, lambda: clock.now)
    plan = Plan.parse(str(budget.fitting(0, 0.5)))
    assert clock.run(budget, plan) == plan
    assert clock.now == pytest.approx(1000, rel=0.01)


@pytest.mark.slow
def test_a_budget_decides_the_steps_and_the_same_steps_make_the_same_run(tmp_path):
    data = dataset()
    settings = {"batch_size": 8, "augment": "none", "seed": 3}
    run = striate.train("mlp", data, Recipe(budget=0.5, **settings), out=tmp_path / "timed")
    steps = run.result["steps"]
    assert Plan.parse(steps).steps > 3
    history = run.history()
    assert history[-1]["step"] == Plan.parse(steps).steps
    again = striate.train("mlp", data, Recipe(steps=steps, **settings), out=tmp_path / "again")
    assert again.result["sha256"] == run.result["sha256"]
    assert again.history()[-1]["val_accuracy"] == history[-1]["val_accuracy"]
    assert f"--set steps={steps}" in run_page.command(run)
    assert "budget" not in run_page.command(run)


@pytest.mark.slow
def test_a_resumed_run_keeps_its_plan_and_the_time_that_is_gone(tmp_path):
    planned = []

    def stop(event):
        if isinstance(event, Step):
            planned.append(event.steps)
            if event.epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        striate.train("mlp", dataset(), Recipe(budget=1, batch_size=8, augment="none"), out=tmp_path, observer=stop)
    saved = checkpoints.newest(tmp_path / "checkpoints")[0].values
    assert 0 < saved["totals"]["elapsed"] < 60
    assert Plan.parse(saved["plan"]).steps == planned[-1]  # it may have changed after the last step of the first epoch
    events = []
    run = striate.resume(tmp_path, data=dataset(), observer=events.append)
    assert next(event for event in events if isinstance(event, Begun)).steps == planned[-1]
    assert run.result["steps"].startswith(saved["plan"])


def test_two_lengths_are_one_too_many():
    with pytest.raises(ArgumentError, match="steps and budget"):
        Recipe(steps="10", budget=5)
    with pytest.raises(ArgumentError, match="budget"):
        Recipe(budget=-1)
