"""Timing of alternatives, to choose the fastest."""

import time
from collections.abc import Callable, Sequence
from typing import Any

TURNS = 3


def quickest(ways: Sequence[Callable[[], Any]]) -> int:
    """Find the fastest alternative, by its best of three interleaved runs: its position."""
    times = [[_seconds(way) for way in ways] for _ in range(TURNS)]
    best = [min(each) for each in zip(*times, strict=True)]
    return best.index(min(best))


def _seconds(way: Callable[[], Any]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began
