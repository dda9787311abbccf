"""Advice: a linter for networks, each finding with the number that supports it and the change that it proposes."""

from striate.inspection.advice.check import RULES, advise
from striate.inspection.advice.finding import Advice, Finding, Saving

__all__ = ["RULES", "Advice", "Finding", "Saving", "advise"]
