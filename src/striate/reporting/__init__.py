"""Reporting: one page about a run, with what evaluation, inspection and explanation find."""

from striate.reporting.page import report

__all__ = ["report"]
