"""The number of steps of a run, given or fitted to a time budget; its progress, and the learning rate that follows."""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from striate.errors import ArgumentError


@dataclass(frozen=True)
class Plan:
    """The number of steps of a run, which one fitted to a time budget may change on the way.

    Args:
        changes: (from this step on, the run has so many steps in all), first the one from step 0.

    >>> plan = Plan.parse("100,50:80")  # of 100 steps, and from step 50 on of 80
    >>> plan.steps, plan.changed(60, 90).text
    (80, '100,50:80,60:90')
    """

    changes: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a plan: "3752", or "3752,1200:3500" where the number changed at step 1,200.

        Raises:
            ArgumentError: for another text, or numbers that can't follow one another.
        """
        pairs = []
        for item in f"0:{text}".split(","):
            at, _, steps = item.partition(":")
            if not (at.strip().isdecimal() and steps.strip().isdecimal()):
                raise ArgumentError(f"steps={text!r}: write a number of steps, such as 3752, or 3752,1200:3500.")
            pairs.append((int(at), int(steps)))
        plan = cls(tuple(pairs))
        begins = [at for at, _ in pairs]
        if begins != sorted(set(begins)) or any(steps <= at for at, steps in pairs[1:]):
            raise ArgumentError(f"steps={text!r}: each change must come later than the one before, and before its end.")
        return plan

    @property
    def text(self) -> str:
        """The plan as text, which `parse` reads."""
        (_, first), *later = self.changes
        return ",".join([str(first), *(f"{at}:{steps}" for at, steps in later)])

    @property
    def steps(self) -> int:
        """The number of steps of the run, as it is planned now."""
        return self.changes[-1][1]

    def changed(self, step: int, steps: int) -> Self:
        """The same plan up to `step`, and `steps` in all from there on."""
        return type(self)((*self.changes, (step, steps)))

    def done(self, step: int) -> float:
        """Progress after a step: the share of the run that is done, in (0, 1).

        It rises in a straight line; after a change, from where it stood in another straight line to the new end.
        """
        begun, at = 0.0, -1
        for (_, steps), (until, _) in zip(self.changes, [*self.changes[1:], (step, 0)], strict=True):
            until = min(until, step)
            if until > at:
                begun, at = begun + (1 - begun) * (until - at) / (steps - at), until
        return begun


def learning_rate_factor(schedule: str, warmup: float, done: float) -> float:
    """The share of the peak learning rate used at a step.

    Args:
        schedule: "linear", "cosine" or "constant": what follows the warm-up.
        warmup: share of the run in which the rate rises, in [0, 1].
        done: the share of the run that lies behind the step, in (0, 1), from its `Plan`.

    Returns:
        A value in (0, 1]: a straight rise over the warm-up, then a straight line ("linear") or half a cosine ("cosine")
        towards 0, or 1 ("constant").
    """
    if done < warmup:
        return done / warmup
    if schedule == "constant":
        return 1.0
    left = (1 - done) / (1 - warmup)
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))


# Of time budgets.
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
        clock: called for the time, in seconds; the same for all processes that train together.
    """

    def __init__(
        self,
        seconds: float,
        validation: float,
        steps_per_epoch: int,
        elapsed: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ):
        self.seconds, self.validation, self.steps_per_epoch = seconds, validation, steps_per_epoch
        self.elapsed, self.clock = elapsed, clock
        self._share = 0.0  # of the run, at the last step
        self._taken, self._spent = 0, 0.0  # steps since the last check, and their seconds

    def plan(self, training: Iterable[object]) -> Plan:
        """Plan the number of steps by trial steps of a training, which change its weights: restore them afterwards."""
        steps = iter(training)
        next(steps)
        began, taken = self.clock(), 0
        while taken < LEAST or (taken < MOST and self.clock() - began < TRIAL * self.seconds):
            if next(steps, None) is None:
                break
            taken += 1
        return Plan(((0, self.fitting(0, (self.clock() - began) / max(taken, 1))),))

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
