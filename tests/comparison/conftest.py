"""One small trained run for all tests of comparisons."""

from trained import digits_run, run, shapes

__all__ = ["digits_run", "run", "shapes"]
