"""Comparison of several models on the same images: intervals, paired tests, trials of a change."""

from striate.comparison.comparing import compare
from striate.comparison.outcome import Outcome, outcome
from striate.comparison.result import Comparison, Pair, Row
from striate.comparison.significance import Difference
from striate.comparison.trial import Trial, trial

__all__ = [
    "Comparison",
    "Difference",
    "Outcome",
    "Pair",
    "Row",
    "Trial",
    "compare",
    "outcome",
    "trial",
]
