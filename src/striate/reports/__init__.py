"""HTML pages of runs, explanations of one image, comparisons, invariance and pooling experiments, and audits."""

from striate.reports.audit_page import report_audit
from striate.reports.comparison_page import report_comparison
from striate.reports.explanation_page import explain
from striate.reports.rendering import Page
from striate.reports.run_page import report

__all__ = [
    "Page",
    "explain",
    "report",
    "report_audit",
    "report_comparison",
]
