"""Fuzzing: what a reader does with inputs that nobody meant it to get.

There are four outcomes. Two are right: the input is read correctly, or refused in one line by a StriateError. Two are
mistakes: any other exception, a hang among them; and a result that is not what the input says, such as NaN.
"""

import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from striate.errors import StriateError

PATIENCE = 60  # seconds after which a reader is taken to hang


class Outcome(Enum):
    """Outcome of an input."""

    RIGHT = "right"
    REFUSED = "refused in one line"
    TRACEBACK = "traceback or hang"
    SILENT = "NaN or silent change"


MISTAKES = (Outcome.TRACEBACK, Outcome.SILENT)


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Args:
        name: for the table.
        inputs: what it is given, most of it nearly valid.
        read: called with an input and an empty folder to write files into; returns what was read.
        wrong: called with the input and the result: what is wrong with it, empty if nothing is.
        cost: how much longer an input takes than a usual one: the bounded test gives so many times fewer.
    """

    name: str
    inputs: SearchStrategy[Any]
    read: Callable[[Any, Path], Any]
    wrong: Callable[[Any, Any], str] = lambda given, result: ""
    cost: int = 1


@dataclass
class Tally:
    """Counts of the outcomes, and the mistakes with their inputs."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    mistakes: list[tuple[str, Any]] = field(default_factory=list)


def judge(target: Target, given: Any) -> tuple[Outcome, str]:
    """Give an input to a target; returns the outcome and, of a mistake, what happened."""
    answer: list[tuple[Outcome, str]] = []
    with tempfile.TemporaryDirectory(prefix="striate-fuzz-", ignore_cleanup_errors=True) as folder:
        thread = threading.Thread(target=lambda: answer.append(_judged(target, given, Path(folder))), daemon=True)
        thread.start()
        thread.join(PATIENCE)
    return answer[0] if answer else (Outcome.TRACEBACK, f"no answer within {PATIENCE} s")


def _judged(target: Target, given: Any, folder: Path) -> tuple[Outcome, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # in a terminal, a warning is as bad as a traceback
            result = target.read(given, folder)
            wrong = target.wrong(given, result)
    except StriateError as error:
        lines = str(error).count("\n")
        return (Outcome.TRACEBACK, f"{lines + 1} lines: {error}") if lines else (Outcome.REFUSED, "")
    except BaseException as error:
        return Outcome.TRACEBACK, f"{type(error).__name__}: {error}"
    return (Outcome.SILENT, wrong) if wrong else (Outcome.RIGHT, "")


def tally(target: Target, count: int, start: int) -> Tally:
    """Give a target so many inputs, drawn anew for each `start`, and count what becomes of them."""
    found = Tally()

    @seed(start)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=HealthCheck
    )
    @given(target.inputs)
    def fuzzed(given: Any) -> None:
        outcome, what = judge(target, given)
        found.counts[outcome] += 1
        if outcome in MISTAKES:
            found.mistakes.append((what, given))

    fuzzed()
    return found


def check(target: Target, count: int) -> None:
    """Give a target so many inputs, the same at every call; a mistake fails with the smallest input that shows it.

    Raises:
        AssertionError: for a mistake.
    """

    @settings(max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(target.inputs)
    def fuzzed(given: Any) -> None:
        outcome, what = judge(target, given)
        assert outcome not in MISTAKES, f"{outcome.value}: {what}"

    fuzzed()


def table(rows: Sequence[tuple[str, Counter[Outcome]]]) -> str:
    """Lay out the counts of several targets, in Markdown."""
    lines = [["target", "inputs", *(outcome.value for outcome in Outcome)]]
    total: Counter[Outcome] = sum((counts for _, counts in rows), Counter())
    for name, counts in [*rows, ("all", total)]:
        lines.append([name, f"{counts.total():,}", *(f"{counts[outcome]:,}" for outcome in Outcome)])
    lines.insert(1, ["---"] + ["---:"] * (len(lines[0]) - 1))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
