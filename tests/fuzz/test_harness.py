"""The fuzzer itself: it sees each of the four outcomes."""

import time
import warnings
from collections import Counter

import pytest
from fuzz import harness
from fuzz.harness import Outcome, Target, check, judge, table, tally
from hypothesis import strategies as st

from striate.errors import DataError


def read(given, folder):
    if given == 1:
        raise DataError("it is one")
    if given == 2:
        raise ZeroDivisionError
    if given == 3:
        time.sleep(5)
    if given == 4:
        warnings.warn("four", stacklevel=1)
    if given == 5:
        raise DataError("two\nlines")
    if given == 6:
        raise SystemExit
    return given


ONE = Target("numbers", st.integers(0, 7), read, lambda given, result: "seven" if result == 7 else "")


@pytest.mark.parametrize(
    ("given", "outcome", "what"),
    [
        (0, Outcome.RIGHT, ""),
        (1, Outcome.REFUSED, ""),
        (2, Outcome.TRACEBACK, "ZeroDivisionError: "),
        (3, Outcome.TRACEBACK, "no answer within 0.2 s"),
        (4, Outcome.TRACEBACK, "UserWarning: four"),
        (5, Outcome.TRACEBACK, "2 lines: two\nlines"),
        (6, Outcome.TRACEBACK, "SystemExit: "),
        (7, Outcome.SILENT, "seven"),
    ],
)
def test_outcomes_are_told_apart(given, outcome, what, monkeypatch):
    monkeypatch.setattr(harness, "PATIENCE", 0.2)
    assert judge(ONE, given) == (outcome, what)


def test_inputs_are_counted_and_mistakes_kept():
    target = Target("numbers", st.sampled_from([0, 1, 2, 7]), read, ONE.wrong)
    found = tally(target, 50, start=1)
    assert set(found.counts) == set(Outcome)
    assert 4 <= found.counts.total() <= 50
    assert set(found.mistakes) == {("ZeroDivisionError: ", 2), ("seven", 7)}
    assert tally(target, 50, start=1) == found
    assert f"| all | {found.counts.total()} |" in table([("numbers", found.counts)])


def test_a_mistake_fails():
    with pytest.raises(AssertionError, match="NaN or silent change: seven"):
        check(Target("sevens", st.just(7), read, ONE.wrong), 5)
    check(Target("zeros", st.just(0), read, ONE.wrong), 5)
    assert table([("a", Counter())]).splitlines()[-1] == "| all | 0 | 0 | 0 | 0 | 0 |"
