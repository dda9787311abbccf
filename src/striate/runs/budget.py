"""Time budgets: the number of steps from a short trial, corrected on the way."""

import time
from bisect import bisect_right
from collections.abc import Callable

from striate.training import Plan, Training

TRIAL = 0.03  # share of the budget that may go into measuring
LEAST, MOST = 3, 40  # steps on trial, after one that pays for what only a first step does
CHECKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)  # shares of the time or of the steps
TOLERANCE = 0.01  # of the budget: a plan that would miss by less stays as it is


class Budget:
    """The time budget of a run, from the beginning of its training to its last step and validation.

    Args:
        seconds: the time asked for.
        validation: how long one validation takes, in seconds.
        steps_per_epoch: how many steps there are between validations.
        elapsed: called for the seconds gone so far.
    """

    def __init__(self, seconds: float, validation: float, steps_per_epoch: int, elapsed: Callable[[], float]):
        self.seconds, self.validation, self.steps_per_epoch, self.elapsed = (
            seconds,
            validation,
            steps_per_epoch,
            elapsed,
        )
        self._share = 0.0  # of the run, at the last step
        self._taken, self._spent = 0, 0.0  # steps since the last check, and their seconds

    def plan(self, training: Training) -> Plan:
        """Plan the number of steps by trial steps, which change the weights: restore them afterwards."""
        steps = iter(training)
        next(steps)
        began, taken = time.monotonic(), 0
        while taken < LEAST or (taken < MOST and time.monotonic() - began < TRIAL * self.seconds):
            if next(steps, None) is None:
                break
            taken += 1
        return Plan(((0, self.fitting(0, (time.monotonic() - began) / max(taken, 1))),))

    def checked(self, plan: Plan, step: int, seconds: float) -> Plan:
        """Return the plan after a step that took `seconds`, corrected where it would miss the time."""
        self._taken, self._spent = self._taken + 1, self._spent + seconds
        before, now = self._share, max(self.elapsed() / self.seconds, step / plan.steps)
        self._share = max(before, now)
        if bisect_right(CHECKS, before) == bisect_right(CHECKS, self._share) or step >= plan.steps:
            return plan
        pace, self._taken, self._spent = self._spent / self._taken, 0, 0.0
        steps = self.fitting(step, pace)
        return plan.changed(step, steps) if abs(steps - plan.steps) * pace > TOLERANCE * self.seconds else plan

    def fitting(self, step: int, pace: float) -> int:
        """The total number of steps if those after `step` take `pace` seconds each, validations apart."""
        left = self.seconds - self.elapsed() - self.validation
        return step + max(1, round(left / (pace + self.validation / self.steps_per_epoch)))
