"""Type aliases that several packages share."""

from collections.abc import Callable
from typing import Literal, get_args

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0 where that is unknown)."""

Precision = Literal["float32", "bfloat16"]
"""Of products; sums are float32 in both."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
