"""How long something may take, as people write it: 90s, 10m, 1h30m."""

import math
import re

from striate.errors import ArgumentError

_NUMBER = r"(\d+(?:\.\d+)?)"
_FORM = re.compile(rf"(?:{_NUMBER}h)?\s*(?:{_NUMBER}m)?\s*(?:{_NUMBER}s)?", re.ASCII)
_UNITS = (3600.0, 60.0, 1.0)


def seconds(text: str) -> float:
    """The seconds in a text like "90s", "10m" or "1h30m": hours, minutes, seconds, in this order, any left out.

    Raises:
        ArgumentError: for anything else, a number without its unit among it, and for no time at all.
    """
    form = _FORM.fullmatch(text.strip().lower())
    given = form.groups() if form else ()
    total = sum(float(number) * unit for number, unit in zip(given, _UNITS, strict=False) if number)
    if not 0 < total < math.inf:
        raise ArgumentError(f"'{text}' is no length of time: write it as 90s, 10m or 1h30m.")
    return total
