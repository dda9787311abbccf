"""Explanation: one page about what a run makes of one image."""

from striate.explanation.page import explain

__all__ = ["explain"]
