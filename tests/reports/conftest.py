"""Small trained runs for all tests of the report."""

from trained import digits_run, run, shapes

__all__ = ["digits_run", "run", "shapes"]
