"""Timing of alternatives, to choose the fastest."""

import time
from collections.abc import Callable, Sequence
from typing import Any

REPEATS = 3


def quickest(alternatives: Sequence[Callable[[], Any]]) -> int:
    """Find the fastest alternative, by its best of three interleaved runs: its position."""
    times = [[_seconds(alternative) for alternative in alternatives] for _ in range(REPEATS)]
    best = [min(each) for each in zip(*times, strict=True)]
    return best.index(min(best))


def _seconds(alternative: Callable[[], Any]) -> float:
    began = time.perf_counter()
    alternative()
    return time.perf_counter() - began
