"""The number of steps of a run, its progress at each step, and the learning rate that follows from it."""

import math
from dataclasses import dataclass
from typing import Self

from striate.errors import ArgumentError


@dataclass(frozen=True)
class Plan:
    """The number of steps of a run, which one fitted to a time budget may change on the way.

    Args:
        changes: (from this step on, the run has so many steps in all), first the one from step 0.
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
        if begins != sorted(set(begins)) or any(steps <= at for at, steps in pairs):
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
