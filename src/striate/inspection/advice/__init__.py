"""Advice on architectures: a linter for networks, each finding with its numbers and a proposed change."""

from striate.inspection.advice.check import RULES, advise
from striate.inspection.advice.rule import Advice, Finding, Saving

__all__ = ["RULES", "Advice", "Finding", "Saving", "advise"]
